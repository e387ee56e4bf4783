"""Truth maps: process diagrams by topology, simulated once and kept with the package.

Each is a shot a cell. `maps/theta40.json` is of the default film, `maps/theta40-sample1.json` of a
film of `SampleSpread`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from skyctl.process import LETTERS, letter_of
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, process_in, simulate_batch
from skyctl.studies.process_diagram import TRUTH_PS

WIDTHS_PS = tuple(float(w) for w in range(5, 49))
"""Columns of a truth map: 44, as many as the paper's Fig. 3 has (it does not print them)."""
DAMPINGS = tuple(round(0.015 * i, 3) for i in range(1, 41))
"""Rows of a truth map: 40."""
CLASSES = tuple(LETTERS.values())
_MAPS = files("skyctl.studies") / "maps"


@dataclass(frozen=True)
class TruthMap:
    """A process diagram by topology: (rows, columns) of class numbers over damping × width.

    sample : seed of the film's draw from `SampleSpread`, None for the default film
    """

    theta_deg: int
    sample: int | None
    labels: np.ndarray

    @property
    def name(self) -> str:
        """What its file is called, without ``.json``."""
        return f"theta{self.theta_deg}" + ("" if self.sample is None else f"-sample{self.sample}")

    @classmethod
    def load(cls, name: str) -> "TruthMap":
        """A map of the package. Raises ValueError for one that is not there, or was changed."""
        file = _MAPS / f"{name}.json"
        if not file.is_file():
            raise ValueError(f"no truth map {name!r}: `skyctl bench maps` makes it")
        content = json.loads(file.read_text())
        if content["sha256"] != _digest(content["rows"]):
            raise ValueError(
                f"truth map {file}: changed by hand; `skyctl bench maps` makes it anew"
            )
        rows = [[CLASSES.index(letter) for letter in row] for row in content["rows"]]
        return cls(content["theta_deg"], content["sample"], np.array(rows))

    def save(self, folder: Path) -> None:
        """Write it into a folder, under its name, as the package keeps it."""
        rows = ["".join(CLASSES[label] for label in row) for row in self.labels]
        content = {
            "what": "process by topology at 165 ps, a row a damping, a letter a pulse width",
            "theta_deg": self.theta_deg,
            "sample": self.sample,
            "amplitude_T": 2.0,
            "widths_ps": WIDTHS_PS,
            "dampings": DAMPINGS,
            "precision": "f4",
            "rows": rows,
            "sha256": _digest(rows),
        }
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n")


def truth_shot(theta_deg: int, sample: int | None, damping: float, width_ps: float) -> MovieSpec:
    """The shot of one cell. A sample's own damping is replaced by the cell's."""
    film = DrawnSample(FilmParameters()) if sample is None else SampleSpread().draw(sample)
    return MovieSpec(
        replace(film.parameters, damping=damping),
        FrameSchedule(duration_ps=TRUTH_PS, interval_ps=5).times_ps,
        film.delivered(Pulse(width_ps=width_ps, theta_deg=theta_deg)),
    )


def simulate_truth(
    theta_deg: int,
    sample: int | None = None,
    progress: Callable[[], None] = lambda: None,
    threads: int | None = None,
) -> TruthMap:
    """A truth map, a shot a cell in single precision: five minutes of a core and more."""
    shots = [truth_shot(theta_deg, sample, d, w) for d in DAMPINGS for w in WIDTHS_PS]

    def name(shot: MovieSpec, frames: Iterator[np.ndarray]) -> int:
        first = last = next(frames).copy()
        for spins in frames:
            last = spins
        return CLASSES.index(letter_of(process_in(shot, first, last)))

    labels = []
    for label in simulate_batch(shots, name, threads=threads):
        labels.append(label)
        progress()
    return TruthMap(theta_deg, sample, np.array(labels).reshape(len(DAMPINGS), len(WIDTHS_PS)))


def _digest(rows: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()

"""Lives: what a loop does to a film, shot after shot, from which the classifier learns.

A life is one sample and a dozen shots at it: each begins where the film settled after the one
before, so that films with several skyrmions, domains, skyrmions off the centre, and both
backgrounds come up as often as they do under a loop that writes, switches, erases and repairs.
Pulses are drawn for what the film then is, by what the agents of this project fire and by more.

Movies are kept as a network gets them: S_z averaged on CELLS² cells, a frame every FRAME_PS.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import hdf5plugin
import numpy as np

from skyctl.children import CHILDREN
from skyctl.inference.kernels_shape import resample
from skyctl.process import Kind, transition
from skyctl.pulse import Pulse, Spot
from skyctl.recording.files import check_room
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.files import StateError, replace_whole
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.topology import film_truth

Part = Literal["training", "calibration", "test"]
_PARTS: tuple[Part, ...] = (*["training"] * 7, *["calibration"] * 2, "test")  # pyright: ignore[reportAssignmentType]

VERSION = 1
"""Counted up with whatever changes the lives of a seed."""
CELLS = 50
"""Cells of a frame, each way: two sites of the paper's film."""
FRAME_PS = 1.0
LABEL_AFTER_PEAK_PS = 125.0
"""Movies end this long after the peak; what they led to is what the film then settles to."""
SHOTS = 10
BROAD = 600
"""The first lives are broad: any film, any pulse. The others are narrow: samples and pulses of the
loop as it is, and a skyrmion that was changed is put back more often than not, so that what a pulse
makes of one is seen often enough."""
JUDGE, JUDGES = 100_000, 160
"""Further narrow lives, from this number on, that judge: nothing is learned from them."""
_BROAD_PULSES = 0.12
_NARROW_BEGUN = 0.85
_AGAIN: dict[Kind, float] = {"one": 0.65, "empty": 0.1, "other": 0.2}
_THERMAL_PS = 20.0
_SIDES = (50, 60, 70, 80, 90, 120, 150, 200)
_SIDE_SHARES = (0.22, 0.16, 0.16, 0.15, 0.13, 0.10, 0.05, 0.03)
_LZ4: dict[str, Any] = dict(hdf5plugin.LZ4())


@dataclass(frozen=True)
class LifeShot:
    """One shot of a life.

    cells : (frames, CELLS, CELLS) uint8, S_z from -1 (0) to +1 (254), a frame every FRAME_PS
    before, after : (kind, background) of the settled film (``topology.film_truth``)
    rest : (CELLS, CELLS) uint8, the settled film after the shot
    """

    pulse: Pulse
    cells: np.ndarray
    before: tuple[Kind, int]
    after: tuple[Kind, int]
    rest: np.ndarray


def on_cells(sz: np.ndarray) -> np.ndarray:
    """S_z (H, W) on cells, uint8."""
    cells = resample(np.ascontiguousarray(sz, np.float32), CELLS, CELLS)
    return np.rint((cells + 1) * 127).astype(np.uint8)


def live(seed: int, narrow: bool = False) -> list[LifeShot]:
    """The life of ``seed``, broad or narrow."""
    rng = np.random.default_rng([VERSION, seed])
    sample = _narrow_sample(rng) if narrow else _sample(rng)
    film = Film(sample.parameters, precision="f4", threads=1, seed=seed)
    _begin(film, rng, _NARROW_BEGUN if narrow else 0.5)
    state, shots = film_truth(film.spins), []
    for _ in range(SHOTS):
        at_first, spins = state, film.spins
        broad = not narrow or rng.random() < _BROAD_PULSES
        pulse = (draw_pulse if broad else draw_loops_pulse)(rng, state, film.parameters.rows)
        frames = int(np.floor((pulse.peak_ps + LABEL_AFTER_PEAK_PS) / FRAME_PS)) + 1
        times = [i * FRAME_PS for i in range(frames)]
        movie = film.frames(sample.delivered(pulse), times)
        cells = np.stack([on_cells(spins[2]) for spins in movie])
        film.settle()
        before, state = state, film_truth(film.spins)
        rest = on_cells(film.spins[2])
        if film.parameters.temperature_K > 0:
            film.advance(_THERMAL_PS)  # relaxing took the heat out
        shots.append(LifeShot(pulse, cells, before, state, rest))
        if narrow and rng.random() < _AGAIN[before[0]]:
            film.spins, state = spins, at_first
    return shots


def _narrow_sample(rng: np.random.Generator) -> DrawnSample:
    temperature_K = float(rng.uniform(0, 1.5)) if rng.random() < 0.12 else 0.0
    film = FilmParameters(temperature_K=temperature_K)
    return SampleSpread().draw(int(rng.integers(2**31)), film)


def _sample(rng: np.random.Generator) -> DrawnSample:
    side = int(rng.choice(_SIDES, p=_SIDE_SHARES)) if rng.random() < 0.2 else 100
    damping = float(np.exp(rng.uniform(np.log(0.03), np.log(0.6))))
    temperature_K = float(rng.uniform(0, 1.5)) if rng.random() < 0.12 else 0.0
    film = FilmParameters(rows=side, columns=side, damping=damping, temperature_K=temperature_K)
    return SampleSpread(damping=None).draw(int(rng.integers(2**31)), film)


def _begin(film: Film, rng: np.random.Generator, share: float) -> None:
    """An empty film or, in this share of the lives, one with a skyrmion off the centre; turned over
    in half of them."""
    begun = rng.random() < share
    if begun:
        film.set_skyrmion()
    film.settle()
    spins = film.spins
    if begun:
        reach = int(0.25 * film.parameters.rows)
        shift = rng.integers(-reach, reach + 1, 2)
        spins = np.roll(spins, tuple(shift), (1, 2))
    if rng.random() < 0.5:  # half a turn of lattice and spins about x
        spins = spins[:, ::-1] * np.array([1.0, -1.0, -1.0]).reshape(3, 1, 1)
    film.spins = np.ascontiguousarray(spins)
    film.settle()


def draw_pulse(rng: np.random.Generator, state: tuple[Kind, int], side: int) -> Pulse:
    """A pulse that a loop may fire at a film of ``side`` sites in this state."""
    kind, background = state
    shares = {
        #         switch write  erase  turn   weak   any
        "empty": (0.14, 0.52, 0.08, 0.10, 0.08, 0.08),
        "one": (0.46, 0.09, 0.09, 0.10, 0.08, 0.18),
        "other": (0.16, 0.10, 0.42, 0.16, 0.04, 0.12),
    }[kind]
    peak_ps = 40.0 if rng.random() < 0.6 else float(rng.uniform(20, 60))
    draw = rng.uniform
    phi_deg = 0.0 if rng.random() < 0.7 else float(draw(0, 360))
    which = ("switch", "write", "erase", "turn", "weak", "any")[int(rng.choice(6, p=shares))]
    spot = None
    if which == "switch":
        amplitude_T = 2.0 if rng.random() < 0.4 else draw(1.0, 3.0)
        width_ps, theta_deg = draw(2, 52), draw(20, 62)
    elif which == "write":
        amplitude_T, width_ps, theta_deg = draw(1, 12), draw(4, 28), draw(20, 60)
        if rng.random() < 0.5:
            width_ps, theta_deg = 16.0, 40.0
        x, y = (side - 1) / 2 + draw(-0.3, 0.3, 2) * side
        spot = Spot(x=x, y=y, sigma=draw(4, 8) if rng.random() < 0.5 else 6.0)
    elif which in ("erase", "turn"):
        amplitude_T, width_ps, theta_deg = draw(1.5, 3.0), draw(4, 60), draw(0, 30)
        if which == "erase":  # along the background, which shrinks what points against it
            theta_deg = 180 - theta_deg
    elif which == "weak":
        amplitude_T, width_ps, theta_deg = draw(0.1, 1.0), draw(1, 30), draw(0, 180)
    else:
        amplitude_T, theta_deg = draw(0.2, 3.0), draw(0, 180)
        width_ps = float(np.exp(draw(0, np.log(60))))
    if background > 0:
        theta_deg = 180 - theta_deg
    return Pulse(
        amplitude_T=amplitude_T,
        width_ps=width_ps,
        theta_deg=theta_deg,
        phi_deg=phi_deg,
        peak_ps=peak_ps,
        spot=spot,
    )


def draw_loops_pulse(rng: np.random.Generator, state: tuple[Kind, int], side: int) -> Pulse:
    """A pulse that the target seeker may well fire at a film of ``side`` sites in this state."""
    kind, background = state
    draw = rng.uniform
    theta_deg, width_ps, spot = draw(25, 68), draw(10, 28), None
    amplitude_T = draw(2, 3)
    which = rng.random()
    if kind == "one" and which < 0.15:  # the paper's
        amplitude_T, theta_deg, width_ps = 2.0, draw(20, 60), draw(4, 48)
    elif kind == "one" and which < 0.22:  # a probe
        amplitude_T, theta_deg, width_ps = draw(0.2, 1.2), 60.0, 10.0
    elif (kind == "one" and which < 0.34) or (kind == "empty" and which < 0.12) or kind == "other":
        amplitude_T, theta_deg, width_ps = 3.0, 20.0, draw(8, 60)
        if rng.random() < 0.7:
            theta_deg = 180 - theta_deg
    elif kind == "empty" and which < 0.22:
        amplitude_T, theta_deg, width_ps = 0.3, 60.0, 10.0
    elif kind == "empty":
        amplitude_T, theta_deg, width_ps = draw(2, 12), 40.0, 16.0
        x, y = (side - 1) / 2 + draw(-0.25, 0.25, 2) * side
        spot = Spot(x=x, y=y, sigma=6.0)
    if background > 0:
        theta_deg = 180 - theta_deg
    return Pulse(amplitude_T=amplitude_T, width_ps=width_ps, theta_deg=theta_deg, spot=spot)


class Lives:
    """The lives of a ``seed`` that a folder holds, a file each, in the order of their numbers.

    count : those with a lower number, and those that JUDGE; None is all

    Raises StateError for a folder of another version or seed.
    """

    def __init__(self, folder: Path, seed: int, count: int | None = None) -> None:
        self.folder, self.seed = folder, seed
        there = sorted(int(path.stem.split("-")[1]) for path in folder.glob("life-*.h5"))
        self.numbers = [n for n in there if count is None or n < count or n >= JUDGE]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, list[LifeShot]]]:
        """Each life's number and its shots."""
        for number in self.numbers:
            yield number, self._read(number)[1]

    @property
    def content_sha256(self) -> str:
        """Of all movies: what a model card quotes."""
        digest = hashlib.sha256()
        for number in self.numbers:
            digest.update(self._read(number)[0].encode())
        return digest.hexdigest()

    def path(self, number: int) -> Path:
        """Of one life."""
        return self.folder / f"life-{number:06d}.h5"

    def _read(self, number: int) -> tuple[str, list[LifeShot]]:
        path = self.path(number)
        try:
            with h5py.File(path, "r") as file:
                told = (file.attrs["version"], file.attrs["seed"])
                if told != (VERSION, self.seed):
                    raise ValueError(f"version and seed {told}, wanted {VERSION, self.seed}")
                return str(file.attrs["sha256"]), [*_read_shots(file)]
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise StateError(f"life {path}: {error}. Remove it, and run it again.") from error


def part_of(life: int) -> Part:
    """What a life is for: seven in ten to learn from, two to calibrate with, one to test; of those
    that JUDGE, three in four to calibrate with."""
    if life >= JUDGE:
        return "calibration" if life % 4 else "test"
    return _PARTS[life % len(_PARTS)]


@dataclass(frozen=True)
class Movies:
    """Movies of lives, as they are: not yet as a camera shows them.

    shots : each with its cells; lives : (n,) the number of its life
    labels : (n,) transition (`skyctl.process`), counted from ``backgrounds``, (n,) of the film
        before each shot
    """

    shots: Sequence[LifeShot]
    lives: np.ndarray
    labels: np.ndarray
    backgrounds: np.ndarray
    content_sha256: str

    @classmethod
    def read(cls, lives: Lives) -> "Movies":
        """All movies of a folder."""
        shots, numbers = [], []
        for number, life in lives:
            shots += life
            numbers += [number] * len(life)
        return cls.of(shots, np.array(numbers), lives.content_sha256)

    @classmethod
    def of(cls, shots: Sequence[LifeShot], lives: np.ndarray, content_sha256: str) -> "Movies":
        """These shots."""
        labels = [transition(s.before[0], s.after[0], s.before[1] != s.after[1]) for s in shots]
        backgrounds = np.array([s.before[1] for s in shots])
        return cls(shots, lives, np.array(labels), backgrounds, content_sha256)

    def at(self, chosen: np.ndarray) -> "Movies":
        """Some of them, by index or mask."""
        index = np.arange(len(self))[chosen]
        return Movies(
            [self.shots[i] for i in index],
            self.lives[index],
            self.labels[index],
            self.backgrounds[index],
            self.content_sha256,
        )

    def part(self, part: Part) -> "Movies":
        """Those for one purpose."""
        return self.at(np.array([part_of(int(life)) == part for life in self.lives]))

    def __len__(self) -> int:
        return len(self.labels)


def fill_lives(
    folder: Path,
    count: int,
    seed: int,
    *,
    judges: int = JUDGES,
    workers: int = 2,
    progress: Callable[[int], None] = lambda done: None,
) -> Lives:
    """Live lives 0 … count - 1 of ``seed``, and ``judges`` more that JUDGE; those that the folder
    has are kept.

    workers : processes. Each file appears whole: stopped at any moment, what is done stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lives = Lives(folder, seed, count)
    missing = sorted({*range(count), *range(JUDGE, JUDGE + judges)} - {*lives.numbers})
    with ProcessPoolExecutor(workers, mp_context=CHILDREN) as pool:
        pending = {pool.submit(_live_into, lives.path(n), seed, n): n for n in missing}
        try:
            first = count + judges - len(missing) + 1
            for done, future in enumerate(as_completed(pending), start=first):
                future.result()
                progress(done)
        except BaseException:  # stopped, it does not live the rest first
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Lives(folder, seed, count)


def _live_into(path: Path, seed: int, number: int) -> None:
    shots = live(seed * 1_000_000 + number, narrow=number >= BROAD)
    check_room(path.parent)
    replace_whole(path, lambda file: _write_life(file, seed, shots))


def _write_life(file: h5py.File, seed: int, shots: list[LifeShot]) -> None:
    digest = hashlib.sha256()
    for i, shot in enumerate(shots):
        one = file.create_group(str(i))
        one.create_dataset("cells", data=shot.cells, chunks=shot.cells.shape, **_LZ4)
        one.create_dataset("rest", data=shot.rest)
        facts = json.dumps(
            {"pulse": shot.pulse.model_dump(), "before": shot.before, "after": shot.after}
        )
        one.attrs["facts"] = facts
        digest.update(shot.cells.tobytes() + shot.rest.tobytes() + facts.encode())
    file.attrs.update(version=VERSION, seed=seed, sha256=digest.hexdigest())


def _read_shots(file: Any) -> Iterator[LifeShot]:
    for name in sorted(file, key=int):
        facts = json.loads(file[name].attrs["facts"])
        yield LifeShot(
            Pulse(**facts["pulse"]),
            file[name]["cells"][:],
            tuple(facts["before"]),
            tuple(facts["after"]),
            file[name]["rest"][:],
        )

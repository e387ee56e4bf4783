"""What a thin film is to do: take ⟨m⟩ somewhere, or show a picture at a time; and its cost."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from skyctl.agents.field_sequences import FieldSequences
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.frame import unit_spins
from skyctl.verdict import ShotResult

Shown = Literal["sx", "sy", "sz", "spins"]
"""What a picture shows: one component, or all three."""
COMPONENTS: tuple[Shown, ...] = ("sx", "sy", "sz")
_DOUBT = 3.0
"""Times the members' spread: two of them tell little of how far both are off. A search for the best
of thousands finds what they are wrong about, unless it is told to stay where they agree."""
_SAME_PS = 1e-6


class Goal(Protocol):
    """What a `Steerer` is after: a `Wanted` or a `WantedPicture`."""

    @property
    def until_ps(self) -> float:
        """Nothing later than this counts."""
        ...

    @property
    def kept_times_ps(self) -> tuple[float, ...]:
        """Movie times whose frames must come with a shot's result."""
        ...

    @property
    def first(self) -> tuple[float, float, float] | None:
        """A field that is on in any case, as of ``FieldSequences.led_by``."""
        ...

    def check(self, film: ImaginedThinFilm) -> None:
        """Raise ValueError where movies of this film cannot show it."""
        ...

    def expected(
        self, film: ImaginedThinFilm, sequences: FieldSequences
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) costs as the film is imagined, and by how much those may be wrong."""
        ...

    def seen(self, result: ShotResult) -> float | None:
        """A shot's cost by its movie; None where that did not show it."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Plain values, of which ``wanted_from_json`` makes it again."""
        ...


@dataclass(frozen=True)
class Wanted:
    """A course of ⟨m⟩ that a film is to take.

    mean : (3,) ⟨m⟩, wanted from ``from_ps`` to ``to_ps`` in the movie
    first : of a field that is on in any case, as of ``FieldSequences.led_by``; None: both are free

    Its cost is the root mean square of |⟨m⟩ - mean| in that time. Raises ValueError for no time.
    """

    mean: tuple[float, float, float]
    from_ps: float
    to_ps: float
    first: tuple[float, float, float] | None = None
    kept_times_ps = ()

    def __post_init__(self) -> None:
        numbers = (*self.mean, self.from_ps, self.to_ps, *(self.first or ()))
        if not np.isfinite(numbers).all() or not 0 <= self.from_ps <= self.to_ps:
            raise ValueError(
                f"wanted ⟨m⟩ {self.mean} from {self.from_ps} to {self.to_ps} ps: give finite "
                "numbers, and an end that is no earlier than the beginning"
            )

    @property
    def until_ps(self) -> float:
        """Nothing later than this counts."""
        return self.to_ps

    def check(self, film: ImaginedThinFilm) -> None:
        """Raise ValueError where the movie has no frame in its time."""
        self._there(film.times_ps)

    def cost(self, times_ps: np.ndarray, means: np.ndarray) -> np.ndarray:
        """(…,) of courses (…, frames, 3) at times (frames,). Raises ValueError where no frame falls
        into the time."""
        return self.size(times_ps, np.linalg.norm(means - np.array(self.mean), axis=-1))

    def size(self, times_ps: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Root mean square of (…, frames) over the time in which it is wanted. As ``cost``."""
        return np.sqrt(np.square(values[..., self._there(times_ps)]).mean(-1))

    def _there(self, times_ps: np.ndarray) -> np.ndarray:
        """(frames,), which are in its time."""
        there = (times_ps >= self.from_ps - _SAME_PS) & (times_ps <= self.to_ps + _SAME_PS)
        if not there.any():
            raise ValueError(
                f"wanted from {self.from_ps:g} to {self.to_ps:g} ps: the movie, from "
                f"{times_ps[0]:g} to {times_ps[-1]:g} ps, has no frame in that time"
            )
        return there

    def expected(
        self, film: ImaginedThinFilm, sequences: FieldSequences
    ) -> tuple[np.ndarray, np.ndarray]:
        """As of a `Goal`."""
        means, spread = film.expected(sequences, self.to_ps)
        times = film.times_ps[: means.shape[1]]
        return self.cost(times, means), _DOUBT * self.size(times, spread)

    def seen(self, result: ShotResult) -> float | None:
        """As of a `Goal`."""
        times_ps, means = np.split(np.array(result.mean_spins), [1], 1)
        return float(self.cost(times_ps[:, 0], means))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        first = None if self.first is None else list(self.first)
        return {
            "mean": list(self.mean), "from_ps": self.from_ps, "to_ps": self.to_ps, "first": first,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class WantedPicture:
    """What the camera is to show at a time.

    image : (3, rows, columns) unit vectors, or one component, (rows, columns), within ±1
    at_ps : of a frame of the movie; shown : what the image is of; all three components, or one

    Its cost is the root mean square over the cells of the length of m - image (of one component: of
    its difference), so that a picture of spins at 0.15 has ⟨m⟩ within 0.15 as well.

    Raises ValueError for NaN, vectors of another length, values beyond ±1, or a time before 0.
    """

    image: np.ndarray
    at_ps: float
    shown: Shown = "spins"
    first = None

    def __post_init__(self) -> None:
        image = np.asarray(self.image, np.float32)
        object.__setattr__(self, "image", image)
        if self.shown not in (*COMPONENTS, "spins"):
            raise ValueError(f"picture of {self.shown!r}: choose spins, {', '.join(COMPONENTS)}")
        if not np.isfinite(image).all():
            raise ValueError("picture: holds a NaN or an infinity")
        if self.shown == "spins":
            unit_spins(image)
        elif image.ndim != 2 or not image.size:
            raise ValueError(
                f"picture of {self.shown}: of shape {image.shape}, and (rows, columns) is needed"
            )
        elif np.abs(image).max() > 1 + 1e-4:
            raise ValueError(f"picture of {self.shown}: holds values beyond ±1")
        if not (np.isfinite(self.at_ps) and self.at_ps >= 0):
            raise ValueError(f"picture at {self.at_ps} ps: give a time from 0 on")

    @property
    def until_ps(self) -> float:
        """Nothing later than this counts."""
        return self.at_ps

    @property
    def kept_times_ps(self) -> tuple[float, ...]:
        """Movie times whose frames must come with a shot's result."""
        return (self.at_ps,)

    def check(self, film: ImaginedThinFilm) -> None:
        """Raise ValueError for a film of another size, and a time at which it is not filmed."""
        cells, size = film.start.shape[1:], self.image.shape[-2:]
        if size != cells:
            raise ValueError(
                f"picture of {size[0]} x {size[1]} cells: this film has {cells[0]} x {cells[1]}"
            )
        off = np.abs(film.times_ps - self.at_ps)
        if off.min() > _SAME_PS:
            nearest = film.times_ps[off.argmin()]
            raise ValueError(
                f"picture at {self.at_ps:g} ps: the movie, from {film.times_ps[0]:g} to "
                f"{film.times_ps[-1]:g} ps, has no frame then; the nearest is at {nearest:g} ps"
            )

    def off(self, states: np.ndarray) -> np.ndarray:
        """(…,) the costs of states (…, 3, rows, columns)."""
        if self.shown == "spins":
            return np.sqrt(np.square(states - self.image).sum(-3).mean((-2, -1)))
        one = states[..., COMPONENTS.index(self.shown), :, :]
        return np.sqrt(np.square(one - self.image).mean((-2, -1)))

    def expected(
        self, film: ImaginedThinFilm, sequences: FieldSequences
    ) -> tuple[np.ndarray, np.ndarray]:
        """As of a `Goal`."""
        parts = [(self.off(m), spread) for m, spread in film.states(sequences, self.at_ps)]
        off, spread = (np.concatenate(each) for each in zip(*parts, strict=True))
        return off, _DOUBT * spread

    def seen(self, result: ShotResult) -> float | None:
        """As of a `Goal`."""
        return float(self.off(result.kept[0].data.astype(np.float64))) if result.kept else None

    def as_json(self) -> dict[str, Any]:
        """Plain values; the image as base64 of float32, little-endian."""
        return {
            "image": base64.b64encode(self.image.astype("<f4").tobytes()).decode(),
            "shape": list(self.image.shape), "at_ps": self.at_ps, "shown": self.shown,
        }  # fmt: skip


def wanted_from_json(saved: dict[str, Any]) -> Wanted | WantedPicture:
    """What ``as_json`` gave. Raises TypeError, KeyError, ValueError for anything else."""
    if "image" not in saved:
        first = saved["first"] and tuple(saved["first"])
        return Wanted(**{**saved, "mean": tuple(saved["mean"]), "first": first})
    try:
        image = np.frombuffer(base64.b64decode(saved["image"], validate=True), "<f4")
    except binascii.Error as error:
        raise ValueError(f"picture: its image is no base64 ({error})") from error
    return WantedPicture(image.reshape(saved["shape"]), saved["at_ps"], saved["shown"])


_S_STATE = (0.967, 0.125, 0.0)
"""⟨m⟩ of standard problem 4's film at rest."""
SWITCH = Wanted((-_S_STATE[0], -_S_STATE[1], 0.0), 500.0, 1000.0)
"""Reversed early, and quiet from then on: neither slow nor ringing."""
HOLD = Wanted(_S_STATE, 500.0, 1000.0, first=(-0.0246, 0.0043, 200.0))
"""No switching, though field 1 of standard problem 4, which switches it, is on for 200 ps."""

"""What a thin film would do, from a latent network of a film like it and what was seen of it.

The film at hand is not the one that the network learned from. With another magnetisation, or a
field that is not quite what was asked for, it does nearly the same under other fields, faster or
slower: two factors, fitted to the movies that were seen. What they leave over is expected again of
sequences of which much the same was imagined.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from skyctl.agents.field_sequences import GRID_PS, FieldSequences

_FACTORS = np.linspace(0.9, 1.1, 11)
_PRIOR = 0.04
"""Standard deviation of either factor round 1, before anything was seen."""
_UNEXPLAINED = 0.05
"""Of ⟨m⟩: what a fit may leave over."""
_ALIKE = 0.12
"""Trajectories so far apart in ⟨m⟩, root mean square, share little of what is left over."""
_TRUST = 1e-3
_SAME_PS = 1e-6
_DECODED = 250
"""States at once: more leave the processor's cache."""


class Network(Protocol):
    """A latent network of a thin film, as ``skyctl.inference.latent_film.LatentFilm`` is one.

    card : with ``strongest_T``, ``horizon_ps`` and ``files_sha256``
    """

    card: Any

    def encode(self, m: np.ndarray) -> np.ndarray:
        """Latent numbers of states (batch, 3, rows, columns)."""
        ...

    def imagine(self, z: np.ndarray, fields_T: np.ndarray) -> Any:
        """What has ``mean``, (batch, frames, 3), and the members' ``spread`` about it, (batch,
        frames), under fields (batch, steps, 3) T; and latent numbers at the end, ``latent``, and an
        interval earlier, ``latent_before``."""
        ...

    def decode(self, z: np.ndarray) -> np.ndarray:
        """States (batch, 3, rows, columns) of latent numbers (members, batch, latent)."""
        ...


@dataclass
class ImaginedThinFilm:
    """Imagines what one film does from one start, in batches, and learns from what it did.

    network : of a film like it; start : (3, rows, columns), where each shot begins
    times_ps : (frames,) of a movie, ascending, from 0 on
    learns : whether it makes anything of what it sees

    ``factors`` : of the field and of time; ``seen`` : shots so far

    Raises ValueError for a movie that is longer than the network's horizon, by whichever factor.
    """

    network: Network
    start: np.ndarray
    times_ps: np.ndarray
    learns: bool = True
    factors: tuple[float, float] = (1.0, 1.0)
    _sequences: list[FieldSequences] = field(default_factory=list, init=False)
    _seen: list[np.ndarray] = field(default_factory=list, init=False)
    _pictures: list[np.ndarray] = field(default_factory=list, init=False)
    _misfit: np.ndarray | float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        horizon = self.network.card.horizon_ps
        if self.times_ps[-1] * _FACTORS[-1] > horizon * (1 + 1e-9):
            raise ValueError(
                f"movie of {self.times_ps[-1]:g} ps: the network learned {horizon:g} ps, and a "
                f"film may be {_FACTORS[-1]:g} times as fast. Film up to "
                f"{horizon / _FACTORS[-1]:.0f} ps"
            )
        self._z = self.network.encode(self.start[None])

    @property
    def seen(self) -> int:
        """How many shots it has seen."""
        return len(self._seen)

    def expected(
        self, sequences: FieldSequences, until_ps: float = np.inf
    ) -> tuple[np.ndarray, np.ndarray]:
        """⟨m⟩ that is expected in the frames up to a time, (n, frames, 3), and how far the
        network's members spread about it, (n, frames): less where much the same was seen."""
        imagined, spread, _ = self._imagined(sequences, until_ps)
        if not self._seen:
            return imagined, spread
        known, _, _ = self._imagined(FieldSequences.joined(self._sequences), until_ps)
        left = np.array(self._seen)[:, : known.shape[1]] - known
        weights, less = _shares(imagined, known)
        return imagined + np.einsum("nk,kfc->nfc", weights, left), spread * less[:, None]

    def states(
        self, sequences: FieldSequences, at_ps: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """States that are expected at a time, (some, 3, rows, columns), and the spread there,
        (some,), as of ``expected``, some sequences after others.

        at_ps : always the same, of the pictures that were learned
        """
        imagined, spread, z = self._imagined(sequences, at_ps)
        weights, less, left = np.zeros((len(spread), 0)), np.ones(len(spread)), None
        if self._pictures:
            known, _, known_z = self._imagined(FieldSequences.joined(self._sequences), at_ps)
            weights, less = _shares(imagined, known)
            left = np.array(self._pictures) - self.network.decode(known_z)
        for first in range(0, len(spread), _DECODED):
            some = slice(first, first + _DECODED)
            m = self.network.decode(z[:, some])
            if left is not None:
                m = m + np.tensordot(weights[some].astype(m.dtype), left.astype(m.dtype), 1)
            yield m, spread[some, -1] * less[some]

    def learn(
        self, sequence: FieldSequences, mean: np.ndarray, picture: np.ndarray | None = None
    ) -> None:
        """Take in what the film did, ``mean`` (frames, 3), under one sequence; and its state (3,
        rows, columns) at the time at which ``states`` is asked for."""
        if not self.learns:
            return
        self._sequences.append(sequence)
        self._seen.append(mean)
        if picture is not None:
            self._pictures.append(picture)
        self._misfit = self._misfit + self._misfits(sequence, mean)
        prior = np.square(_FACTORS - 1) / _PRIOR**2
        likely = self._misfit + prior[:, None] + prior
        time, of_field = np.unravel_index(likely.argmin(), likely.shape)
        self.factors = float(_FACTORS[of_field]), float(_FACTORS[time])

    def _misfits(self, sequence: FieldSequences, mean: np.ndarray) -> np.ndarray:
        """(times, fields), how badly each pair of factors explains a movie; all in one batch."""
        edges = self._edges(self.times_ps[-1] * _FACTORS[-1])
        pairs = [(time, of_field) for time in _FACTORS for of_field in _FACTORS]
        fields = [self._fields(sequence, edges, of_field, time) for time, of_field in pairs]
        found = self.network.imagine(self._z, np.concatenate(fields)).mean
        off = [
            _between(course[None], self.times_ps * time / GRID_PS)[0] - mean
            for course, (time, _) in zip(found, pairs, strict=True)
        ]
        misfits = np.square(off).sum(2).mean(1) / _UNEXPLAINED**2
        return misfits.reshape(len(_FACTORS), len(_FACTORS))

    def _imagined(
        self, sequences: FieldSequences, until_ps: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """⟨m⟩ of the network in the frames up to a time, (n, frames, 3), its spread, (n, frames),
        and latent numbers in the last of them, for a film that differs by ``factors``."""
        of_field, time = self.factors
        place = self.times_ps[self.times_ps <= until_ps + _SAME_PS] * time / GRID_PS
        edges = self._edges(place[-1] * GRID_PS)
        found = self.network.imagine(self._z, self._fields(sequences, edges, of_field, time))
        after = place[-1] - (len(edges) - 2)
        z = found.latent_before * (1 - after) + found.latent * after
        spread = found.spread[:, np.minimum(place.astype(int), len(edges) - 2) + 1]
        return _between(found.mean, place), spread, z

    def _edges(self, until_ps: float) -> np.ndarray:
        """Of the network's intervals, to the first that is no earlier; at least one interval."""
        return GRID_PS * np.arange(max(1, int(np.ceil(until_ps / GRID_PS - 1e-9))) + 1)

    def _fields(
        self, sequences: FieldSequences, edges_ps: np.ndarray, of_field: float, time: float
    ) -> np.ndarray:
        """(n, intervals, 3) T, as the network must be asked for a film ``time`` as fast under
        ``of_field`` of the field; none stronger than it learned."""
        limit = self.network.card.strongest_T
        fields = sequences.averaged_T(edges_ps / time) * of_field
        strength = np.linalg.norm(fields, axis=2, keepdims=True)
        return fields * np.minimum(1, limit / np.maximum(strength, 1e-12))


def _between(courses: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(n, frames, 3), courses (n, steps + 1, 3) at places (frames,) between their steps."""
    before = np.minimum(place.astype(int), courses.shape[1] - 2)
    after = (place - before)[:, None]
    return courses[:, before] * (1 - after) + courses[:, before + 1] * after


def _shares(imagined: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of what is left over of the known trajectories (k, frames, 3) is expected of each
    imagined one, (n, k), and the share of the spread that stays, (n,)."""
    alike = _alike(imagined, known)
    weights = alike @ np.linalg.inv(_alike(known, known) + _TRUST * np.eye(len(known)))
    return weights, 1 - alike.max(1)


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 for the same trajectories (n, frames, 3), (k, frames, 3), falling to 0: (n, k)."""
    a, b = (x.reshape(len(x), -1) for x in (one, other))
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    apart = np.maximum(square, 0) / one.shape[1]
    return np.exp(-apart / (2 * _ALIKE**2))

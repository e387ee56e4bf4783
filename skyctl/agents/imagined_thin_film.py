"""What a thin film would do, from a latent network of a film like it and what was seen of it.

The film at hand is not the one that the network learned from. With another magnetisation, or a
field that is not quite what was asked for, it does nearly the same under other fields, faster or
slower: two factors, fitted to the movies that were seen. What they leave over is expected again of
sequences of which much the same was imagined.
"""

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


class Network(Protocol):
    """A latent network of a thin film, as ``skyctl.inference.latent_film.LatentFilm`` is one.

    card : with ``strongest_T``, ``interval_ps`` and ``files_sha256``
    """

    card: Any

    def encode(self, m: np.ndarray) -> np.ndarray:
        """Latent numbers of states (batch, 3, rows, columns)."""
        ...

    def imagine(self, z: np.ndarray, fields_T: np.ndarray) -> Any:
        """What has ``mean``, (batch, frames, 3), and the members' ``spread`` about it, (batch,
        frames), under fields (batch, steps, 3) T."""
        ...


@dataclass
class ImaginedThinFilm:
    """Imagines ⟨m⟩ of one film from one start, in batches, and learns from what it did.

    network : of a film like it; start : (3, rows, columns), where each shot begins
    times_ps : (frames,) of a movie, ascending, from 0 on
    learns : whether it makes anything of what it sees

    ``factors`` : of the field and of time; ``seen`` : shots so far
    """

    network: Network
    start: np.ndarray
    times_ps: np.ndarray
    learns: bool = True
    factors: tuple[float, float] = (1.0, 1.0)
    _sequences: list[FieldSequences] = field(default_factory=list, init=False)
    _seen: list[np.ndarray] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._z = self.network.encode(self.start[None])

    @property
    def seen(self) -> int:
        """How many shots it has seen."""
        return len(self._seen)

    def expected(self, sequences: FieldSequences) -> tuple[np.ndarray, np.ndarray]:
        """⟨m⟩ that is expected, (n, frames, 3), and how far the network's members spread about it,
        (n, frames): less where much the same was seen."""
        imagined, spread = self._imagined(sequences, *self.factors)
        if not self._seen:
            return imagined, spread
        known, _ = self._imagined(FieldSequences.joined(self._sequences), *self.factors)
        left = np.array(self._seen) - known
        alike = _alike(imagined, known)
        weights = alike @ np.linalg.inv(_alike(known, known) + _TRUST * np.eye(len(known)))
        expected = imagined + np.einsum("nk,kfc->nfc", weights, left)
        return expected, spread * (1 - alike.max(1, keepdims=True))

    def learn(self, sequence: FieldSequences, mean: np.ndarray) -> None:
        """Take in what the film did, ``mean`` (frames, 3), under one sequence."""
        if not self.learns:
            return
        self._sequences.append(sequence)
        self._seen.append(mean)
        self.factors = self._fitted()

    def _fitted(self) -> tuple[float, float]:
        """Factors of field and time that explain best what was seen."""
        fired = FieldSequences.joined(self._sequences)
        best, least = self.factors, np.inf
        for time in _FACTORS:
            for of_field in _FACTORS:
                off = self._imagined(fired, of_field, time)[0] - np.array(self._seen)
                misfit = (np.square(off).sum(2).mean(1) / _UNEXPLAINED**2).sum()
                misfit += ((of_field - 1) ** 2 + (time - 1) ** 2) / _PRIOR**2
                if misfit < least:
                    best, least = (float(of_field), float(time)), misfit
        return best

    def _imagined(
        self, sequences: FieldSequences, of_field: float, time: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """⟨m⟩ of the network, (n, frames, 3), and its spread, (n, frames), for a film ``time`` as
        fast under ``of_field`` of the field."""
        limit = self.network.card.strongest_T
        steps = int(np.ceil(self.times_ps[-1] * time / GRID_PS - 1e-9))
        edges = GRID_PS * np.arange(steps + 1)
        fields = sequences.averaged_T(edges / time) * of_field
        fields *= np.minimum(1, limit / np.maximum(np.linalg.norm(fields, axis=2), 1e-12))[
            ..., None
        ]
        found = self.network.imagine(self._z, fields)
        place = self.times_ps * time / GRID_PS
        before = np.minimum(place.astype(int), steps - 1)
        after = (place - before)[:, None]
        mean = found.mean[:, before] * (1 - after) + found.mean[:, before + 1] * after
        return mean, found.spread[:, before + 1]


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 for the same trajectories (n, frames, 3), (k, frames, 3), falling to 0: (n, k)."""
    a, b = (x.reshape(len(x), -1) for x in (one, other))
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    apart = np.maximum(square, 0) / one.shape[1]
    return np.exp(-apart / (2 * _ALIKE**2))

"""Sequences of two fields in the film's plane: drawn, varied, laid over time, made into pulses."""

from dataclasses import dataclass

import numpy as np

from skyctl.pulse import Pulse
from skyctl.waveform import Square

GRID_PS = 10.0
SHORTEST_PS = 40.0
_DIGITS_T = 5
_TURN = 0.35
_STRETCH_PS = 25.0


@dataclass(frozen=True)
class FieldSequences:
    """Each a field from 0 on, another right after it, then none.

    fields_T : (n, 2, 2), x and y of the two; ends_ps : (n, 2), when each ends
    """

    fields_T: np.ndarray
    ends_ps: np.ndarray

    def __len__(self) -> int:
        return len(self.ends_ps)

    def at(self, chosen: "np.ndarray | slice") -> "FieldSequences":
        """Some of them."""
        return FieldSequences(self.fields_T[chosen], self.ends_ps[chosen])

    def led_by(
        self, first: tuple[float, float, float] | None, longest_ps: float
    ) -> "FieldSequences":
        """The same second fields after another first one, (x and y in T, until when in ps), all
        over by ``longest_ps``; as they are for None."""
        if first is None:
            return self
        x, y, end = first
        fields, ends = self.fields_T.copy(), self.ends_ps.copy()
        fields[:, 0] = x, y
        ends[:, 1] = np.minimum(end + ends[:, 1] - ends[:, 0], longest_ps)
        ends[:, 0] = end
        return FieldSequences(fields, ends)

    def averaged_T(self, edges_ps: np.ndarray) -> np.ndarray:
        """(n, intervals, 3), the mean field between each two of ``edges_ps``, T."""
        starts = np.stack([0 * self.ends_ps[:, 0], self.ends_ps[:, 0]], 1)
        low = np.maximum(starts[:, :, None], edges_ps[:-1])
        high = np.minimum(self.ends_ps[:, :, None], edges_ps[1:])
        share = np.maximum(high - low, 0) / np.diff(edges_ps)
        plane = np.einsum("nks,nkc->nsc", share, self.fields_T)
        return np.concatenate([plane, np.zeros((*plane.shape[:2], 1))], 2)

    def pulse(self, number: int) -> Pulse:
        """One of them as a square pulse with a second."""
        (first, second), (middle, end) = self.fields_T[number], self.ends_ps[number]
        return _square(first, 0.0, float(middle)).model_copy(
            update={"second": _square(second, float(middle), float(end))}
        )

    @staticmethod
    def joined(parts: "list[FieldSequences]") -> "FieldSequences":
        """Several, one after another."""
        return FieldSequences(
            np.concatenate([part.fields_T for part in parts]),
            np.concatenate([part.ends_ps for part in parts]),
        )


def drawn_sequences(
    count: int, strongest_T: float, longest_ps: float, rng: np.random.Generator
) -> FieldSequences:
    """Fields uniform over the disc up to ``strongest_T``; each on for SHORTEST_PS or more, both
    over by ``longest_ps``."""
    strength = strongest_T * np.sqrt(rng.uniform(size=(count, 2)))
    angle = rng.uniform(0, 2 * np.pi, (count, 2))
    fields = strength[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    spare = longest_ps - 2 * SHORTEST_PS
    cuts = np.sort(rng.uniform(0, spare, (count, 2)), 1) + SHORTEST_PS * np.array([1, 2])
    return _possible(fields, cuts, strongest_T, longest_ps)


def varied(
    some: FieldSequences, each: int, strongest_T: float, longest_ps: float,
    rng: np.random.Generator,
) -> FieldSequences:  # fmt: skip
    """``each`` neighbours of every one, some near and some further away."""
    size = np.exp(rng.uniform(np.log(0.05), 0, (len(some) * each, 1)))
    fields, ends = np.repeat(some.fields_T, each, 0), np.repeat(some.ends_ps, each, 0)
    fields = fields + _TURN * strongest_T * size[..., None] * rng.normal(size=fields.shape)
    ends = ends + 2 * _STRETCH_PS * size * rng.normal(size=ends.shape)
    return _possible(fields, ends, strongest_T, longest_ps)


def _possible(
    fields: np.ndarray, ends: np.ndarray, strongest_T: float, longest_ps: float
) -> FieldSequences:
    """With fields in the disc, times on the grid and far enough apart."""
    length = np.linalg.norm(fields, axis=-1, keepdims=True)
    fields = fields * np.minimum(1, strongest_T / np.maximum(length, 1e-12))
    ends = np.rint(ends / GRID_PS) * GRID_PS
    first = np.clip(ends[:, 0], SHORTEST_PS, longest_ps - SHORTEST_PS)
    second = np.clip(ends[:, 1], first + SHORTEST_PS, longest_ps)
    return FieldSequences(np.round(fields, _DIGITS_T), np.stack([first, second], 1))


def _square(field_T: np.ndarray, start_ps: float, end_ps: float) -> Pulse:
    x, y = (float(v) for v in field_T)
    return Pulse(
        amplitude_T=float(np.hypot(x, y)),
        width_ps=(end_ps - start_ps) / 2,
        peak_ps=(end_ps + start_ps) / 2,
        theta_deg=90.0,
        phi_deg=float(np.degrees(np.arctan2(y, x))),
        waveform=Square(),
    )

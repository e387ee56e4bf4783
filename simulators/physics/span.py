"""A stretch of a film's time as plain numbers, and what moves a film through one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.drive import PulseDrive, drive_of

_MOST_STEPS = 10**9
_WORDS = 4
_REACH = 8.0
"""Widths of a pulse to either side of its peak beyond which it does nothing: exp(-32)."""
ALONG_Z = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Coefficients:
    """What multiplies each term of the motion.

    rate : γ/(1+α²), rad/(ps·T); damping : α
    thermal_T2ps : 2αk_BT/(γμ), the noise field's power; its deviation over a step dt is √(this/dt)
    exchange_T, dmi_T, anisotropy_T : J/μ, D/μ, 2K/μ; 0 in a film whose field is not their sum
    interfacial_dmi_T : D'/μ; easy_axis : n̂, a unit vector
    """

    rate: float
    damping: float
    thermal_T2ps: float = 0.0
    exchange_T: float = 0.0
    dmi_T: float = 0.0
    anisotropy_T: float = 0.0
    interfacial_dmi_T: float = 0.0
    easy_axis: tuple[float, float, float] = ALONG_Z

    @property
    def more_terms(self) -> tuple[bool, bool]:
        """Which terms a film has that the plain one has not: interfacial DMI, a tilted axis."""
        return self.interfacial_dmi_T != 0, tuple(self.easy_axis) != ALONG_Z

    def fastest_rad_per_ps(self, field_T: float = 0.0) -> float:
        """An upper bound of how fast a spin turns, damping included, in a field of that size."""
        dmi_T = np.hypot(self.dmi_T, self.interfacial_dmi_T)
        inner = 8 * np.hypot(self.exchange_T, dmi_T) + abs(self.anisotropy_T)
        return float(self.rate * np.hypot(1, self.damping) * (inner + field_T))

    def packed(self, step_ps: float, dtype: Any) -> np.ndarray:
        """The kernels' constants in the precision of the run, in the order they index them.

        Fields as B', the turn in one step (see ``llg``), the anisotropy's 0 where its axis is
        tilted; then 1/2, 1, the square of a length that no spin has, and the coefficients of
        ``llg.full_turn``; then interfacial DMI, the easy axis, and the anisotropy along it, 0 where
        it is z.
        """
        k = self.rate * step_ps
        noise = k * np.sqrt(self.thermal_T2ps / step_ps)
        anisotropy = k * self.anisotropy_T
        along_z, tilted = (0.0, anisotropy) if self.more_terms[1] else (anisotropy, 0.0)
        fields = (k * self.exchange_T, k * self.dmi_T, along_z)
        more = (k * self.interfacial_dmi_T, *self.easy_axis, tilted)
        return np.array(
            [*fields, self.damping, noise, 0.5, 1.0, llg.TINY, *llg.TAN_PADE, *more], dtype
        )


@dataclass(frozen=True)
class Span:
    """A stretch of time under one pulse, for one film.

    bias_T : static field
    peak_T, peak_ps, width_ps : the pulse's field at its peak, when that is, and its Gaussian width
    drive : what drives the film instead, of a pulse that is no Gaussian field
    spot : (rows, columns), the pulse's strength over the film; None is 1 everywhere
    anisotropy_map : (rows, columns), K of each site in units of the film's; None is 1 everywhere
    start_ps, step_ps, steps : movie time of the first step, length and number of the steps
    noise_key : four random words, the film's own; first_step : number of its first step in them
    """

    coefficients: Coefficients
    bias_T: tuple[float, float, float]
    peak_T: tuple[float, float, float]
    peak_ps: float
    width_ps: float
    spot: np.ndarray | None
    anisotropy_map: np.ndarray | None
    start_ps: float
    step_ps: float
    steps: int
    noise_key: np.ndarray
    first_step: int
    drive: PulseDrive | None = None

    @property
    def terms(self) -> tuple[bool, bool, bool]:
        """Which terms it has that a plain film under a field has not: interfacial DMI, a tilted
        easy axis, a spin current."""
        return (*self.coefficients.more_terms, self.drive is not None and self.drive.has_current)

    def table(self, corrector_at: float) -> np.ndarray | None:
        """(steps, 2, 6) of ``drive``, as angles of a step, or None where there is none.

        corrector_at : when in a step the second pass takes the field, in steps
        """
        if self.drive is None:
            return None
        times_ps = self.start_ps + self.step_ps * np.arange(self.steps)
        both = np.stack([times_ps, times_ps + corrector_at * self.step_ps], axis=1)
        turn = self.coefficients.rate * self.step_ps
        return turn * self.drive.fields_T(both.ravel()).reshape(self.steps, 2, 6)

    def longest_step_ps(self, time_ps: float) -> float:
        """The longest step from a movie time on that cannot leap over the pulse."""
        if self.drive:
            return self.drive.shortest_ps
        until_pulse = self.peak_ps - _REACH * self.width_ps - time_ps
        over = time_ps >= self.peak_ps + _REACH * self.width_ps
        return np.inf if over or not any(self.peak_T) else max(self.width_ps, until_pulse)


def make_span(
    coefficients: Coefficients,
    bias_T: tuple[float, float, float],
    pulse: Pulse | None,
    start_ps: float,
    span_ps: float,
    step_ps: float,
    *,
    key: np.ndarray,
    first_step: int,
    spot: np.ndarray | None = None,
    anisotropy_map: np.ndarray | None = None,
) -> Span:
    """``span_ps`` under a pulse in equal steps of at most ``step_ps``, of none if it is rounding.

    spot : what the pulse's spot makes of its strength, as in ``Span``

    Raises ValueError for more steps than anyone waits for.
    """
    if not span_ps / step_ps < _MOST_STEPS:
        raise ValueError(
            f"{span_ps:g} ps in steps of {step_ps:.2g} ps: over {_MOST_STEPS:.0e} steps. Choose a "
            "shorter time, or a pulse and couplings that allow longer steps."
        )
    steps = int(np.ceil(span_ps / step_ps - 1e-9))
    return Span(
        coefficients=coefficients,
        bias_T=bias_T,
        peak_T=pulse.peak_field_T if pulse else (0.0, 0.0, 0.0),
        peak_ps=pulse.peak_ps if pulse else 0.0,
        width_ps=pulse.width_ps if pulse else 1.0,
        spot=spot,
        anisotropy_map=anisotropy_map,
        start_ps=start_ps,
        step_ps=span_ps / steps if steps else step_ps,
        steps=steps,
        noise_key=key,
        first_step=first_step,
        drive=drive_of(pulse),
    )


def stretches(
    pulses: Sequence[Pulse | None], start_ps: float, span_ps: float, step_ps: float
) -> Iterator[tuple[float, float, float]]:
    """(start, span, longest step) of the parts of a time, ps, that step over none of the pulses.

    Steps of a Gaussian's width take its integral to 1e-8 of it; one narrower than ``step_ps`` is
    walked through in such, and nothing changes for the others.
    """
    narrow = [pulse for pulse in pulses if pulse and pulse.width_ps < step_ps]
    if not narrow:
        yield start_ps, span_ps, step_ps
        return
    end_ps = start_ps + span_ps
    acts = [(p.peak_ps - _REACH * p.width_ps, p.peak_ps + _REACH * p.width_ps) for p in narrow]
    edges = {start_ps, end_ps, *(min(max(t, start_ps), end_ps) for both in acts for t in both)}
    for begin, end in pairwise(sorted(edges)):
        acting = (a < end and begin < b for a, b in acts)
        widths = [p.width_ps for p, acts_now in zip(narrow, acting, strict=True) if acts_now]
        yield begin, end - begin, min(widths, default=step_ps)


class Engine(Protocol):
    """Spins of one film, or of a batch of films of one size, and steps for them."""

    def read(self) -> np.ndarray:
        """A copy of the spins, (films, 3, rows, columns)."""
        ...

    def write(self, spins: np.ndarray) -> None:
        """Replace the spins, (films, 3, rows, columns), unit vectors."""
        ...

    def advance(self, spans: Sequence[Span]) -> None:
        """Move each film through its span; time and number of the steps are the same in all."""
        ...


def noise_key(seed: int) -> np.ndarray:
    """The words that make a film's noise its own, from a seed ≥ 0."""
    return np.random.SeedSequence(seed).generate_state(_WORDS, np.uint32)

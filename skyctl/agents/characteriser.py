"""Characteriser: what a sample is, from how the mean S_z of its empty film answers weak pulses.

A short pulse tips the film and lets it ring down, a longer one bends it as far as anisotropy and
field let it: the widths of the pulses below tell damping, anisotropy field and the pulser's
calibration apart. The film is the same afterwards. How a film of given parameters answers is not
this module's business: a `Predict` is handed in.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import norm

from skyctl.agents.allowed import Allowed
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import Proposal, against, preparing
from skyctl.belief import SURE, Belief
from skyctl.process import Kind
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_THETA_DEG = 110.0
"""Slightly along the film's own direction: 3 T of this nucleate nothing."""
_WIDTHS_PS = (1.0, 2.0, 3.0)
_PEAK_PS = 40.0
_SEEN_PS = 60.0
"""Frames later than this after the peak tell nothing new, and take time to predict."""
_MU_B_MEV_PER_T = 5.7883817982e-2
"""Bohr magneton, meV/T (CODATA 2022)."""
_FIRST_NOISE = 1e-3
_LEAST_NOISE = 2e-4
"""What the prediction itself is off by, in units of S_z."""
_FARTHEST = 4.0
"""Parameters are sought within this many standard deviations of what was known before."""
_CAMERA_NOISE = 0.05
"""Standard deviation of a pixel that is expected before any shot, in units of S_z."""


@dataclass(frozen=True)
class SampleGuess:
    """A sample, as far as its film's motion depends on it. Exchange is taken as known.

    damping : α; moment_muB : μ_s; anisotropy_meV : K; dmi_meV : D of a bond
    field_calibration : what a pulse delivers, over what it was asked for
    """

    damping: float
    moment_muB: float
    anisotropy_meV: float
    dmi_meV: float
    field_calibration: float

    @property
    def anisotropy_field_T(self) -> float:
        """2K/μ_s, T."""
        return 2 * self.anisotropy_meV / (self.moment_muB * _MU_B_MEV_PER_T)


class Predict(Protocol):
    """How the mean S_z of an empty film that points along -z answers a pulse."""

    def __call__(self, sample: SampleGuess, pulse: Pulse, times_ps: np.ndarray) -> np.ndarray:
        """Mean S_z (frames,) at ``times_ps`` after the start of the movie."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A quantity and its standard deviation; ``before`` is the deviation before any shot."""

    value: float
    deviation: float
    before: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.deviation:.2g}"


@dataclass(frozen=True)
class Characterisation:
    """What the shots say of a sample.

    estimates : by name: those of `SampleGuess` and ``anisotropy_field_T``
    misfit : root mean square of what the prediction leaves unexplained, in units of S_z; well
        above the camera's noise the film was not empty, or is of another kind
    shots : how many it is from
    """

    estimates: dict[str, Estimate]
    misfit: float
    shots: int

    @property
    def sample(self) -> SampleGuess:
        """The likeliest sample."""
        names = SampleGuess.__dataclass_fields__
        return SampleGuess(**{name: self.estimates[name].value for name in names})

    def __str__(self) -> str:
        told = {"damping": "α", "anisotropy_field_T": "2K/μ_s (T)", "field_calibration": "field ×"}
        numbers = ", ".join(f"{text} {self.estimates[name]}" for name, text in told.items())
        return f"{numbers}; misfit {self.misfit:.1g} after {self.shots} shots"


class Characteriser:
    """An `Agent` that empties the film, fires weak pulses at it and fits a sample to the answers.

    A camera that cuts its noise off at ±1 shows a mean nearer to 0 than it is, most of all at rest;
    how noisy it is is fitted as well.

    predict : how a film answers
    amplitude_T : of its pulses; what they tell falls with the square of it
    memory : what is known of the sample, and of erasing; changed in place
    allowed : what the pulser may fire; None is everything

    It is done when the last of its pulses has left the film as it was. One that does not ends it.

    Raises ValueError for an amplitude that is not above 0.
    """

    task = "characterise"
    name = "characteriser"
    seed: int | None = None

    def __init__(
        self,
        predict: Predict,
        amplitude_T: float = 3.0,
        memory: PulseMemory | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        if not 0 < amplitude_T < math.inf:
            raise ValueError(f"amplitude_T = {amplitude_T}: give a field above 0")
        self._predict = predict
        self._pulses = [
            Pulse(amplitude_T=amplitude_T, width_ps=width, theta_deg=_THETA_DEG, peak_ps=_PEAK_PS)
            for width in _WIDTHS_PS
        ]
        self._seen: list[tuple[Pulse, np.ndarray, np.ndarray]] = []
        memory = memory or PulseMemory()
        self._eraser = TargetSeeker("erase", (0.0, 0.0), memory, allowed)
        self._allowed = allowed or Allowed()
        self._film: tuple[Kind, int] | None = None  # as the pulses found it
        self._last: Pulse | None = None
        self.library_sha256 = self._eraser.library_sha256
        self.gave_up = ""
        known = memory.switching
        logs, weights = np.log(known.library.samples), known.weights
        self._before = weights @ logs
        self._spread = np.sqrt(weights @ (logs - self._before) ** 2)

    @property
    def shots(self) -> int:
        """How many movies were taken in."""
        return len(self._seen)

    def reached(self, belief: Belief) -> bool:
        """Whether all movies are in, and the film is as it was."""
        if self._film is None or self.shots < len(self._pulses):
            return False
        return belief.probability(*self._film) >= SURE

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next weak pulse at an empty film, or one that empties it."""
        chosen = self._choose(belief)
        self.gave_up = chosen if isinstance(chosen, str) else ""
        return None if isinstance(chosen, str) else chosen

    def probe(self, belief: Belief) -> Proposal | None:
        """As an eraser's."""
        proposal = preparing(self._eraser.probe(belief))
        self.gave_up = "" if proposal else self._eraser.gave_up
        return proposal

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest."""
        self._eraser.saw(look)

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Take in the movie of a weak pulse, or learn to erase.

        Raises ValueError for one without frames before and after the pulse.
        """
        if proposal.action == "characterise":
            self._take(result, before.background)
        else:
            self._eraser.ingest(proposal, before, result, after)

    def failed(self, proposal: Proposal) -> None:
        """It is proposed again."""

    def _choose(self, belief: Belief) -> Proposal | str:
        for sign in (-1, 1):
            for pulse in self._pulses:
                if why_not := self._allowed.why_not(against(sign, pulse)):
                    return f"characterise: the envelope does not allow {pulse}: {why_not}"
        if self._film is None and belief.kind != "empty":
            erasing = preparing(self._eraser.suggest(belief))
            return erasing or f"no empty film to start from: {self._eraser.gave_up}"
        if self._film not in (None, belief.likeliest):
            return f"{self._last} was fired: the film is not what it was"
        if self.shots == len(self._pulses):
            return "all pulses were fired"
        self._film = belief.likeliest
        self._last = against(belief.background, self._pulses[self.shots])
        reason = "leaves the film as it is"
        return Proposal("characterise", self._last, reason, whole_movie=True)

    def _take(self, result: ShotResult, background: int) -> None:
        times_ps, mean_sz = np.array(result.mean_sz, float).reshape(-1, 2).T
        pulse = self._pulses[self.shots]
        before = times_ps <= pulse.peak_ps - 6 * pulse.width_ps
        wanted = times_ps <= pulse.peak_ps + _SEEN_PS
        if not before.any() or wanted.sum() < before.sum() + 4:
            raise ValueError(
                f"movie of shot {result.shot}: {before.sum()} frames before the pulse, "
                f"{wanted.sum() - before.sum()} after; film from 0 to "
                f"{pulse.peak_ps + _SEEN_PS:g} ps, in steps of 5 ps or less"
            )
        turned = -background * (mean_sz - mean_sz[before].mean())
        self._seen.append((pulse, times_ps[wanted], turned[wanted]))

    def estimate(self) -> Characterisation:
        """Fit the sample: what was known before, and each frame's answer (least squares).

        Deviations are those of a normal distribution about the best fit, with the noise that the
        fit itself leaves. Takes seconds. Raises ValueError when nothing was taken in.
        """
        if not self._seen:
            raise ValueError("nothing to estimate from: fire what `suggest` proposes first")
        noise = _FIRST_NOISE
        x = np.append(self._before, _CAMERA_NOISE)
        scale = np.append(self._spread, _CAMERA_NOISE)
        highest = x + _FARTHEST * scale
        lowest = np.append((x - _FARTHEST * scale)[:-1], 0.0)
        misfit, jacobian = 0.0, np.eye(len(x))
        for _ in range(2):
            fit = least_squares(
                self._residuals,
                x,
                args=(noise,),
                bounds=(lowest, highest),
                x_scale=scale,
                diff_step=1e-3,
                xtol=1e-4,
                ftol=1e-4,
            )
            x, jacobian = fit.x, fit.jac
            misfit = float(np.sqrt(np.mean(self._unexplained(x) ** 2)))
            noise = max(misfit, _LEAST_NOISE)
        covariance = np.linalg.inv(jacobian.T @ jacobian)[:-1, :-1]
        return Characterisation(self._estimates(x[:-1], covariance), misfit, len(self._seen))

    def _estimates(self, x: np.ndarray, covariance: np.ndarray) -> dict[str, Estimate]:
        names = tuple(SampleGuess.__dataclass_fields__)
        best, deviation = np.exp(x), np.sqrt(np.diag(covariance))
        found = {
            name: Estimate(float(v), float(v * d), float(v * before))
            for name, v, d, before in zip(names, best, deviation, self._spread, strict=True)
        }
        ratio = np.array([0.0, -1.0, 1.0, 0.0, 0.0])  # ln(K/μ)
        field = SampleGuess(**dict(zip(names, best, strict=True))).anisotropy_field_T
        found["anisotropy_field_T"] = Estimate(
            float(field),
            float(field * np.sqrt(ratio @ covariance @ ratio)),
            float(field * np.sqrt(ratio**2 @ self._spread**2)),
        )
        return found

    def _unexplained(self, x: np.ndarray) -> np.ndarray:
        sample = SampleGuess(*(float(value) for value in np.exp(x[:-1])))
        rest: list[np.ndarray] = []
        for pulse, times_ps, turned in self._seen:
            expected = _cut_off(self._predict(sample, pulse, times_ps), x[-1])
            rest.append(turned - (expected - expected[0]))
        return np.concatenate(rest)

    def _residuals(self, x: np.ndarray, noise: float) -> np.ndarray:
        known = (x[:-1] - self._before) / self._spread
        return np.concatenate([self._unexplained(x) / noise, known, [x[-1] / _CAMERA_NOISE]])


def _cut_off(mean_sz: np.ndarray, noise: float) -> np.ndarray:
    """What is left of the mean, near -1, when pixels with normal noise are cut off at -1."""
    if noise < 1e-6:
        return mean_sz
    above = (mean_sz + 1) / noise
    return -1 + noise * (norm.pdf(above) + above * norm.cdf(above))

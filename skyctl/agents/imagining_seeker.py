"""Imagining seeker: before it fires, it imagines what each pulse would do to the film.

Of samples that what it has seen leaves likely, networks of the film (`imagined_film`) say what each
pulse would do. Where none is sure to switch, and the camera shows a film at rest well enough, it
fires a weak pulse first, and fits its sample with the film itself (`film_fit`).
"""

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.film_fit import FilmFit, Twin, fitted
from skyctl.agents.film_posterior import ProbeSeen, posterior, reweighed
from skyctl.agents.imagined_film import ImaginedFilm
from skyctl.agents.seeker import NOISY, REPAIR_PULSES, PulseMemory, TargetSeeker
from skyctl.agents.tasks import Proposal, Task, against
from skyctl.belief import Belief
from skyctl.process import BREATHING, OUTCOMES, SWITCHING
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_SITES = 100 * 100
"""Pixels of a frame: the camera has one a site, of the film the networks are of."""
_PROBE_T = 0.45
"""Weak enough to break no skyrmion: of 171 simulated probes below 0.5 T none did, of 28 from there
to 0.65 T at samples with a damping below 0.13 two."""
_SURE = 0.9
"""At this chance a pulse is fired without a probe first."""
_MISFIT = 5.0
"""A fit that leaves more, in units of what is to be expected, is of another film: a warm one."""
_HARDLY = 0.05
"""Where fewer of the likely samples are cold, none is fitted."""
_BELIEVED_SHOTS = 1
"""A fit whose pulses missed more often than this was wrong."""
_IMAGINED_SAMPLES = 512
_HOPELESS, _SHOTS_TO_DESPAIR = 0.03, 8
_CANDIDATES = 16
_ALIKE_SHARE = 0.8
"""How far a pulse that is like one that missed does the same, whatever is imagined."""
_SUCCESS, _KEPT = OUTCOMES.index(SWITCHING), OUTCOMES.index(BREATHING)


class ImaginingSeeker(TargetSeeker):
    """Switches with the pulse that is imagined to need the fewest; writes and erases as
    `TargetSeeker`.

    task, centre, memory, allowed : as `TargetSeeker`; film : None is the shipped one
    twin : runs the film itself, to fit a sample to a weak pulse's movie; None fires no weak pulse
    """

    name = "imagining-seeker"
    slow = True

    def __init__(
        self,
        task: Task,
        centre: tuple[float, float],
        memory: PulseMemory | None = None,
        allowed: Allowed | None = None,
        *,
        film: ImaginedFilm | None = None,
        twin: Twin | None = None,
    ) -> None:
        super().__init__(task, centre, memory, allowed)
        self._film = film or ImaginedFilm.load()
        self.library_sha256 = self._film.sha256
        self._twin = twin
        self._fit: FilmFit | None = None
        self._imagined: tuple[np.ndarray, np.ndarray] | None = None

    def saw(self, look: ShotResult) -> None:
        super().saw(look)
        if look.state and not look.problem:
            self._memory.noise = look.state.noise
            self._imagined = None

    def _switch(self, belief: Belief) -> Proposal | str:
        library, shots = self._memory.switching.library, self._memory.switching.evidence
        pulses = [against(belief.background, pulse) for pulse in library.as_pulses]
        may = np.array([self._allowed.allows(pulse) for pulse in pulses])
        if not may.any():
            return f"switch: the envelope leaves none of the library's {len(pulses)} pulses"
        samples, chances = self._imagine()
        mean = self._after_misses(chances.mean(axis=0))
        success = mean[:, _SUCCESS]
        if len(shots) >= _SHOTS_TO_DESPAIR and success[may].max() < _HOPELESS:
            return (
                f"switch: {self._memory.switching.fired()}, and of {may.sum()} pulses none has a "
                f"chance above {success[may].max():.1%}"
            )
        expected = np.where(may, _expected(mean), np.inf)
        best = np.argsort(expected, kind="stable")[: min(_CANDIDATES, may.sum())]
        first = int(best[0])
        if probe := self._probe_first(belief, float(success[first])):
            return probe
        self._proposed = {pulses[first]: first}  # pyright: ignore[reportUnhashable]
        reason = (
            f"{success[first]:.0%} of what it may be is imagined to switch; damping looks like "
            f"{samples[:, 0].mean():.3f} ± {samples[:, 0].std():.1g}"
        )
        candidates = tuple((pulses[i], float(success[i])) for i in best)
        return Proposal("switch", pulses[first], reason, candidates)

    def _probe_first(self, belief: Belief, success: float) -> Proposal | None:
        """A weak pulse, where nothing was fired yet, its movie would tell, and no pulse is sure."""
        known = self._memory
        if not self._twin or known.probes or known.switching.evidence or known.noise >= NOISY:
            return None
        probe = against(belief.background, self._probing_pulse(_PROBE_T))
        if success >= _SURE or not self._allowed.allows(probe):
            return None
        reason = f"weak pulse first: no pulse is surer to switch than {success:.0%}"
        return Proposal("switch", probe, reason, whole_movie=True)

    def _imagine(self) -> tuple[np.ndarray, np.ndarray]:
        """Likely samples (n, 6); chances (some, library's pulses, outcomes) of some."""
        if self._imagined is None:
            samples = self._likely()
            some = samples[:: max(1, len(samples) // _IMAGINED_SAMPLES)]
            pulses = self._memory.switching.library.pulses
            self._imagined = samples, self._film.chances(some, pulses)
        return self._imagined

    def _likely(self) -> np.ndarray:
        """(n, 6) samples, by the film itself where it explains what the weak pulse showed."""
        known = self._memory
        seed = len(known.probes) + len(known.switching.evidence)
        samples = posterior(self._film, known.probes, known.switching, seed)
        may_be_cold = (samples[:, 5] <= 0).mean() > _HARDLY
        believed = may_be_cold and len(known.switching.evidence) <= _BELIEVED_SHOTS
        if self._twin and known.probes and believed:
            probe = known.probes[-1]
            if self._fit is None:
                pulse = self._probing_pulse(probe.amplitude_T)
                start = samples[:, :5].mean(axis=0)
                self._fit = fitted(self._film, self._twin, probe, pulse, start)
            if self._fit.misfit <= _MISFIT:
                return reweighed(self._film, self._fit.samples, known.switching)
        return samples

    def _after_misses(self, chances: np.ndarray) -> np.ndarray:
        """(pulses, outcomes). What is not imagined is alike for pulses that are alike: one that
        missed does again."""
        known = self._memory.switching
        for shot in known.evidence:
            share = _ALIKE_SHARE * known.library.alike[shot.pulse][:, None]
            chances = (1 - share) * chances + share * np.array(shot.outcomes)
        return chances

    def _probing_pulse(self, amplitude_T: float) -> Pulse:
        """For a film that points down."""
        return Pulse(
            amplitude_T=amplitude_T,
            width_ps=self._film.probe_width_ps,
            theta_deg=self._film.probe_theta_deg,
        )

    def _learn_switching(
        self, proposal: Proposal, before: Belief, result: ShotResult, outcome: np.ndarray
    ) -> None:
        self._imagined = None
        if not proposal.whole_movie:
            super()._learn_switching(proposal, before, result, outcome)
            return
        times_ps, mean_sz = np.array(result.mean_sz, float).reshape(-1, 2).T
        self._read_probe(proposal.pulse, times_ps, -before.background * mean_sz)

    def _read_probe(self, pulse: Pulse, times_ps: np.ndarray, turned: np.ndarray) -> None:
        film = self._film
        known = np.isin(np.round(times_ps, 6), film.times_ps)
        times_ps, turned = times_ps[known], turned[known]
        resting = times_ps <= film.resting_ps
        if not resting.any() or turned[resting].mean() >= 0:
            return
        change = turned / -turned[resting].mean() + 1
        self._fit = None
        self._memory.probes.append(
            ProbeSeen(
                pulse.amplitude_T,
                tuple(times_ps.tolist()),
                tuple(change.tolist()),
                self._memory.noise,
                _SITES,
                int(resting.sum()),
            )
        )


def _expected(chances: np.ndarray) -> np.ndarray:
    """Pulses to be expected were one pulse fired over and over, what brings a lost skyrmion back
    among them; ``chances`` (…, outcomes)."""
    success = chances[..., _SUCCESS]
    lost = 1 - success - chances[..., _KEPT]
    return (1 + REPAIR_PULSES * lost) / np.maximum(success, 1e-3)

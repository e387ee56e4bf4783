"""Imagining seeker: before it fires, it imagines what each pulse would do to the film.

Of samples that what it has seen leaves likely, networks of the film (`imagined_film`) say what each
pulse would do, and what the movie of a weak probe would show. So it knows what a probe is worth,
and fires one only where that saves more pulses than it costs.
"""

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.film_posterior import (
    Likelihood,
    ProbeSeen,
    posterior,
    tempered,
)
from skyctl.agents.imagined_film import ImaginedFilm
from skyctl.agents.seeker import REPAIR_PULSES, PulseMemory, TargetSeeker
from skyctl.agents.tasks import Proposal, Task, against
from skyctl.belief import Belief
from skyctl.process import BREATHING, OUTCOMES, SWITCHING
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_SITES = 100 * 100
"""Pixels of a frame: the camera has one a site, of the film the networks are of."""
_PROBES_AT_MOST = 2
_AMPLITUDES = 5
_IMAGINED_SAMPLES, _IMAGINED_TRUTHS = 512, 32
_FEWEST = 1.5
"""Samples that an imagined movie leaves at the least: fewer would promise too much."""
_HOPELESS, _SHOTS_TO_DESPAIR = 0.03, 8
_CANDIDATES = 16
_ALIKE_SHARE = 0.8
"""How far a pulse that is like one that missed does the same, whatever is imagined."""
_SUCCESS, _KEPT = OUTCOMES.index(SWITCHING), OUTCOMES.index(BREATHING)


class ImaginingSeeker(TargetSeeker):
    """Switches with the pulse that is imagined to need the fewest; writes and erases as
    `TargetSeeker`.

    task, centre, memory, allowed : as `TargetSeeker`; film : None is the shipped one
    probes : whether it may fire a weak pulse to learn of the sample before it switches
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
        probes: bool = True,
    ) -> None:
        super().__init__(task, centre, memory, allowed)
        self._film = film or ImaginedFilm.load()
        self.library_sha256 = self._film.sha256
        self._may_probe = probes
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
        if self._may_probe and len(self._memory.probes) < _PROBES_AT_MOST:
            probe = self._worth_probing(
                belief, samples, chances[:, may], library.pulses[may], float(expected[best[0]])
            )
            if probe:
                return probe
        first = int(best[0])
        self._proposed = {pulses[first]: first}  # pyright: ignore[reportUnhashable]
        reason = (
            f"{success[first]:.0%} of what it may be is imagined to switch; damping looks like "
            f"{samples[:, 0].mean():.3f} ± {samples[:, 0].std():.1g}"
        )
        candidates = tuple((pulses[i], float(success[i])) for i in best)
        return Proposal("switch", pulses[first], reason, candidates)

    def _imagine(self) -> tuple[np.ndarray, np.ndarray]:
        """Likely samples (n, 6); chances (some, library's pulses, outcomes) of some."""
        if self._imagined is None:
            known = self._memory
            seed = len(known.probes) + len(known.switching.evidence)
            samples = posterior(self._film, known.probes, known.switching, seed)
            some = samples[:: len(samples) // _IMAGINED_SAMPLES]
            self._imagined = samples, self._film.chances(some, known.switching.library.pulses)
        return self._imagined

    def _after_misses(self, chances: np.ndarray) -> np.ndarray:
        """(pulses, outcomes). What is not imagined is alike for pulses that are alike: one that
        missed does again."""
        known = self._memory.switching
        for shot in known.evidence:
            share = _ALIKE_SHARE * known.library.alike[shot.pulse][:, None]
            chances = (1 - share) * chances + share * np.array(shot.outcomes)
        return chances

    def _worth_probing(
        self,
        belief: Belief,
        samples: np.ndarray,
        chances: np.ndarray,
        pulses: np.ndarray,
        expected: float,
    ) -> Proposal | None:
        """The probe after which the fewest pulses are to be expected, if that saves any.

        chances : of some samples and of pulses (pulses, 3); of these, those count that are best
            for one of them
        """
        some = np.unique(_expected(chances).argmin(axis=1))
        chances = self._film.chances(samples, pulses[some])
        found: list[tuple[float, Pulse]] = []
        for amplitude_T in np.linspace(*self._film.probe_amplitudes_T, _AMPLITUDES):
            probe = self._probing_pulse(float(amplitude_T), belief)
            if self._allowed.allows(probe):
                found.append((self._expected_after(probe, samples, chances), probe))
        if not found:
            return None
        after, probe = min(found, key=lambda each: each[0])
        if after >= expected:
            return None
        reason = (
            f"weak pulse first: {after:.2f} pulses to be expected with it, {expected:.2f} without"
        )
        return Proposal("switch", probe, reason, whole_movie=True)

    def _expected_after(self, probe: Pulse, samples: np.ndarray, chances: np.ndarray) -> float:
        """Pulses to be expected, this probe and what a broken skyrmion costs among them."""
        film, noise = self._film, self._memory.noise
        movies = film.probe_movie(samples, probe.amplitude_T, noise)
        truths = np.arange(0, len(samples), max(1, len(samples) // _IMAGINED_TRUTHS))
        times_ps, resting = tuple(film.times_ps), int((film.times_ps <= film.resting_ps).sum())
        seen = ProbeSeen(probe.amplitude_T, times_ps, (), noise, _SITES, resting)
        log = Likelihood(film, (), self._memory.switching).of_movies(
            seen, movies[truths], movies, samples
        )
        weights = np.array([tempered(each, _FEWEST) for each in log])
        after = _expected(np.tensordot(weights, chances, 1)).min(axis=1)
        broken = 1 - film.keeps(samples[truths], probe.amplitude_T)
        return 1 + float(np.mean(after + REPAIR_PULSES * broken))

    def _probing_pulse(self, amplitude_T: float, belief: Belief) -> Pulse:
        pulse = Pulse(
            amplitude_T=round(amplitude_T, 3),
            width_ps=self._film.probe_width_ps,
            theta_deg=self._film.probe_theta_deg,
        )
        return against(belief.background, pulse)

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

"""DriftWatch: notices that a sample is no longer the one that was learned, and forgets it."""

from skyctl.agents.seeker import PulseMemory
from skyctl.agents.switching_library import SwitchBelief

_FIRST = 12
"""Switching shots that say what the sample was: the first ones, so that a slow drift shows too."""
_LAST = 4
"""Switching shots that say what it is now. There must be as many before them."""
_EVEN = 1.0
"""Overlap at which "one sample" and "two" are equally likely."""


class DriftWatch:
    """Compares what the last shots say of a sample with what the first ones said.

    memory : of the cycle's seekers; what no longer holds is taken out of it

    The overlap is the Bayes factor of "one sample" against "two": N Σ w v over the N samples of the
    library, w the posterior from the last `_LAST` switching shots alone and v that from the first
    `_FIRST`. Of samples that stayed as they were it was 12 and more; it falls to 0.1, which is what
    either posterior leaves open, when they are of different samples.
    """

    def __init__(self, memory: PulseMemory) -> None:
        self._memory = memory
        self.overlap = 1.0
        """As of the last `check`."""

    def check(self) -> str:
        """What changed, or "". The memory then knows the last shots only."""
        belief = self._memory.switching
        shots = len(belief.evidence)
        first = min(_FIRST, shots - _LAST)
        if first < _LAST:
            return ""
        before, since = belief.of_shots(0, first), belief.of_shots(shots - _LAST, shots)
        self.overlap = float(len(before.weights) * before.weights @ since.weights)
        if self.overlap >= _EVEN:
            return ""
        self._memory.switching = since
        self._memory.probes.clear()
        return (
            f"the sample changed: damping looked like {_estimate(before)}, the last {_LAST} "
            f"switching shots say {_estimate(since)}; what was learned before is let go"
        )

    def forget(self) -> None:
        """Start anew: what was learned leads nowhere."""
        fresh = PulseMemory()
        self._memory.write_T, self._memory.erase_ps = fresh.write_T, fresh.erase_ps
        self._memory.switching = SwitchBelief(self._memory.switching.library)
        self._memory.probes.clear()


def _estimate(belief: SwitchBelief) -> str:
    mean, deviation = belief.estimate()["damping"]
    return f"{mean:.2f} ± {deviation:.2f}"

"""Shots at warm films, with pulses that would likely switch cold ones: which do.

At 1 K a pulse that just switches a cold film often misses. The imagining seeker's networks learn
from these what warmth makes of a cold film's chances (`skyctl.models.imagined_film`).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skyctl.agents.outcome import likeliest, outcome_of
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.belief import Belief
from skyctl.models.probe_shots import WARMEST_K
from skyctl.process import OUTCOMES, SWITCHING
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.files import MovieFile
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.topology import film_truth

FIRST_SEED = 5_000_000_000
_SHOTS_PER_SAMPLE = 4
_AFTER_PS = 120.0
"""From the pulse's peak to where a film's fate is decided: it settles without noise from there."""


@dataclass(frozen=True)
class WarmShots:
    """What was fired at which sample, and what came of it.

    samples : (shots, 6), those of the library, and the temperature (K); pulses : (shots, 3)
    outcomes : (shots,) index into OUTCOMES
    """

    samples: np.ndarray
    pulses: np.ndarray
    outcomes: np.ndarray

    def __len__(self) -> int:
        return len(self.outcomes)


@dataclass(frozen=True)
class _Planned:
    sample: int
    pulse: int
    shot: MovieSpec


def _planned(library: SwitchingLibrary, count: int, first: int) -> Iterator[_Planned]:
    """Some shots at each sample of the library in turn, with pulses the likelier the likelier they
    would switch it cold."""
    row, spins, parameters = -1, np.empty(0), FilmParameters()
    for i in range(first, count):
        sample = i // _SHOTS_PER_SAMPLE % len(library.samples)
        damping, moment, anisotropy, dmi, calibration = library.samples[sample].tolist()
        if sample != row:
            row = sample
            parameters = replace(
                FilmParameters(), damping=damping, moment_muB=moment,
                anisotropy_meV=anisotropy, dmi_meV=dmi,
            )  # fmt: skip
            relaxed = Film(replace(parameters, damping=1.0), precision="f4")
            relaxed.set_skyrmion()
            spins = relaxed.spins
        rng = np.random.default_rng(FIRST_SEED + i)
        success = library.chances[sample, :, OUTCOMES.index(SWITCHING)] ** 2
        pulse = int(rng.choice(len(success), p=success / success.sum()))
        warm = replace(parameters, temperature_K=float(rng.uniform(0.2, WARMEST_K)))
        fired = DrawnSample(warm, calibration).delivered(library.as_pulses[pulse])
        times_ps = (fired.peak_ps + 2.5 * fired.width_ps, fired.peak_ps + _AFTER_PS)
        yield _Planned(sample, pulse, MovieSpec(warm, times_ps, fired, spins, seed=i))


def make_warm_shots(
    library: SwitchingLibrary,
    count: int,
    path: Path,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> WarmShots:
    """Simulate the first ``count`` shots into ``path`` (HDF5), or the rest of them.

    ``progress`` is told how many are done. Raises StateError for a file that holds something else.
    """
    about = {"warm shots": library.sha256, "first seed": FIRST_SEED}
    with MovieFile(path, (1,), about) as file:
        waiting: deque[_Planned] = deque()

        def shots() -> Iterator[MovieSpec]:
            for planned in _planned(library, count, len(file)):
                waiting.append(planned)
                yield planned.shot

        for outcome in simulate_batch(shots(), _watch, threads=threads):
            each = waiting.popleft()
            facts = {
                "sample": each.sample,
                "pulse": each.pulse,
                "temperature_K": each.shot.parameters.temperature_K,
                "outcome": outcome,
            }
            file.append(np.zeros(1), facts)
            progress(len(file))
        facts = [fact for _, fact in file][:count]
    samples = library.samples[[fact["sample"] for fact in facts]]
    return WarmShots(
        samples=np.column_stack([samples, [fact["temperature_K"] for fact in facts]]),
        pulses=library.pulses[[fact["pulse"] for fact in facts]],
        outcomes=np.array([OUTCOMES.index(fact["outcome"]) for fact in facts]),
    )


def _watch(shot: MovieSpec, frames: Iterator[np.ndarray]) -> str:
    calm = Film(replace(shot.parameters, temperature_K=0.0), precision="f4")
    for spins in frames:
        calm.spins = spins
        if film_truth(spins)[0] == "empty":
            break
    calm.settle()
    kind, background = film_truth(calm.spins)
    return likeliest(outcome_of(Belief.certain("one", -1), Belief.certain(kind, background)))

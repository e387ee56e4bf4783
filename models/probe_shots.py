"""Weak pulses at random samples: what their movies show, and whether the skyrmion outlives them.

The imagining seeker reads a sample off such a movie (`skyctl.models.imagined_film`). What a noisy
camera shows of it is computed with it: a camera that cuts its noise off at ±1 shows less of a mean.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skyctl.models.seeker_library import MOVIE, sample_numbers
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.seen_mean import seen_mean
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.files import MovieFile
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.topology import film_truth

FIRST_SEED = 4_000_000_000
PROBE = Pulse(amplitude_T=1.0, width_ps=10.0, theta_deg=60.0)
"""What is fired, but for its amplitude."""
AMPLITUDES_T = (0.3, 1.2)
WARMEST_K = 1.5
NOISES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Of a pixel, in units of S_z, at which a movie is seen."""
_SHOTS_PER_FILM = 6
_GENTLE = SampleSpread(damping=(0.08, 0.18))
"""Where a probe may break a skyrmion, and where little of it is enough: every other sample."""


@dataclass(frozen=True)
class ProbeShots:
    """Probes that were fired, and what was seen of them.

    samples : (shots, 5), α, μ_s (μ_B), K (meV), D (meV), field calibration
    amplitudes_T, temperatures_K : (shots,)
    seen : (shots, len(NOISES), frames) mean of the image at the frames of MOVIE, the background
        being -1
    kept : (shots,) whether the film was one skyrmion, the same way up, afterwards
    """

    samples: np.ndarray
    amplitudes_T: np.ndarray
    temperatures_K: np.ndarray
    seen: np.ndarray
    kept: np.ndarray

    def __len__(self) -> int:
        return len(self.kept)


@dataclass(frozen=True)
class _Planned:
    sample: DrawnSample
    amplitude_T: float
    shot: MovieSpec


def _planned(count: int, first: int) -> Iterator[_Planned]:
    """Neighbours share a relaxed skyrmion, which depends on K and D alone; half are cold."""
    film, spins = -1, np.empty(0)
    for i in range(first, count):
        kd = SampleSpread().draw(FIRST_SEED + i // _SHOTS_PER_FILM).parameters
        if i // _SHOTS_PER_FILM != film:
            film = i // _SHOTS_PER_FILM
            relaxed = Film(replace(kd, damping=1.0))
            relaxed.set_skyrmion()
            spins = relaxed.spins
        sample = (SampleSpread(), _GENTLE)[i % 2].draw(2 * FIRST_SEED + i)
        rng = np.random.default_rng(3 * FIRST_SEED + i)
        amplitude, warm = float(rng.uniform(*AMPLITUDES_T)), float(rng.uniform(-1, 1))
        parameters = replace(
            sample.parameters,
            anisotropy_meV=kd.anisotropy_meV,
            dmi_meV=kd.dmi_meV,
            temperature_K=max(0.0, warm * WARMEST_K),
        )
        sample = replace(sample, parameters=parameters)
        pulse = sample.delivered(PROBE.model_copy(update={"amplitude_T": amplitude}))
        shot = MovieSpec(parameters, MOVIE.times_ps, pulse, spins, seed=i)
        yield _Planned(sample, amplitude, shot)


def make_probe_shots(
    count: int,
    path: Path,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> ProbeShots:
    """Simulate the first ``count`` probes into ``path`` (HDF5), or the rest of them.

    ``progress`` is told how many are done. Raises StateError for a file that holds something else.
    """
    shape = (len(NOISES), len(MOVIE.times_ps))
    about = {"probes": PROBE.model_dump(), "amplitudes": AMPLITUDES_T, "first seed": FIRST_SEED}
    with MovieFile(path, shape, about) as file:
        waiting: deque[_Planned] = deque()

        def shots() -> Iterator[MovieSpec]:
            for planned in _planned(count, len(file)):
                waiting.append(planned)
                yield planned.shot

        for seen, kept in simulate_batch(shots(), _watch, threads=threads):
            each = waiting.popleft()
            facts = {
                "sample": sample_numbers(each.sample),
                "amplitude_T": each.amplitude_T,
                "temperature_K": each.shot.parameters.temperature_K,
                "kept": kept,
            }
            file.append(seen, facts)
            progress(len(file))
        rows = list(file)[:count]
    seen, facts = zip(*rows, strict=True)
    return ProbeShots(
        samples=np.array([fact["sample"] for fact in facts]),
        amplitudes_T=np.array([fact["amplitude_T"] for fact in facts]),
        temperatures_K=np.array([fact["temperature_K"] for fact in facts]),
        seen=np.stack(seen),
        kept=np.array([fact["kept"] for fact in facts]),
    )


def _watch(shot: MovieSpec, frames: Iterator[np.ndarray]) -> tuple[np.ndarray, bool]:
    seen, spins = [], np.empty(0)
    for spins in frames:
        seen.append(seen_mean(spins[2], NOISES))
    calm = Film(replace(shot.parameters, temperature_K=0.0), precision="f4")
    calm.spins = spins
    calm.settle()
    return np.array(seen).T, film_truth(calm.spins) == ("one", -1)

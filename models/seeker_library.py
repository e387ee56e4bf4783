"""What the target seeker knows beforehand: simulated shots at random samples, and what they do.

`skyctl train seeker` fires random pulses at films drawn from `SampleSpread`, and fits what the film
is seen to do as smooth functions of sample and pulse. What it writes, `switching.npz`, is all that
an agent ever gets of a simulator.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from skyctl.agents.outcome import OUTCOMES, outcome_of
from skyctl.inference.discs import film_state
from skyctl.pulse import Movie, Pulse
from skyctl.simulators.film import Film
from skyctl.simulators.movies import Shot, simulate_batch
from skyctl.simulators.spread import PulseSpread, Sample, SampleSpread
from skyctl.simulators.state import MovieFile
from skyctl.verdict import FilmState

FIRST_SEED = 1_000_000_000
"""Seeds of `SampleSpread` from here on are the library's: a test of the seeker takes others."""
SHOTS_PER_FILM = 30
PULSES = PulseSpread(amplitude_T=(2.0, 3.0), theta_deg=(25.0, 68.0), width_ps=(10.0, 28.0))
"""Where switching was found: below it films breathe or break up, above it they collapse."""
MOVIE = Movie(duration_ps=165.0, interval_ps=5.0)
_SETTLED_PS = 100.0
_LARGE_SITES = 500


@dataclass(frozen=True)
class LibraryShots:
    """What was fired at what, and what came of it.

    samples : (shots, 5), α, μ_s (μ_B), K (meV), D (meV), field calibration
    pulses : (shots, 3), amplitude (T), polar angle (degrees), width (ps)
    sizes : (shots,) sites of the skyrmion before the shot
    traces : (shots, frames) mean S_z of the film at the frames of MOVIE, the background being -1
    outcomes : (shots,) index into OUTCOMES
    """

    samples: np.ndarray
    pulses: np.ndarray
    sizes: np.ndarray
    traces: np.ndarray
    outcomes: np.ndarray

    def __len__(self) -> int:
        return len(self.outcomes)


@dataclass(frozen=True)
class PlannedShot:
    """A shot of the library: what is fired at which sample, and what is to be simulated for it."""

    sample: Sample
    pulse: Pulse
    shot: Shot


def library_shots(count: int, first: int = 0) -> Iterator[PlannedShot]:
    """Shots ``first`` to ``count`` - 1 of the library, at one relaxed skyrmion each.

    A relaxed skyrmion depends on K and D alone: SHOTS_PER_FILM neighbours share them, and differ in
    damping, moment, calibration and pulse.
    """
    spread = SampleSpread()
    film, spins = -1, np.empty(0)
    for i in range(first, count):
        kd = spread.draw(FIRST_SEED + i // SHOTS_PER_FILM).parameters
        if i // SHOTS_PER_FILM != film:
            film = i // SHOTS_PER_FILM
            relaxed = Film(replace(kd, damping=1.0))
            relaxed.set_skyrmion()
            spins = relaxed.spins
        sample = spread.draw(2 * FIRST_SEED + i)
        parameters = replace(
            sample.parameters, anisotropy_meV=kd.anisotropy_meV, dmi_meV=kd.dmi_meV
        )
        sample = replace(sample, parameters=parameters)
        pulse = PULSES.draw(FIRST_SEED + i)
        times = (*MOVIE.times_ps, max(MOVIE.duration_ps, _end_ps(pulse)) + _SETTLED_PS)
        yield PlannedShot(sample, pulse, Shot(parameters, times, sample.delivered(pulse), spins))


def _end_ps(pulse: Pulse) -> float:
    """When 3e-4 of the peak is left, ps."""
    return pulse.peak_ps + 4 * pulse.width_ps


def watch(shot: Shot, frames: Iterator[np.ndarray]) -> tuple[np.ndarray, FilmState, FilmState]:
    """Mean S_z over the movie (frames,), and the film before the pulse and when it has settled.

    Stops as soon as no more can come: an empty film stays empty, large domains stay domains.
    """
    if shot.pulse is None:
        raise ValueError("a shot of the library without a pulse: give one")
    weak_ps, over_ps = shot.pulse.peak_ps + 2.5 * shot.pulse.width_ps, _end_ps(shot.pulse)
    trace: list[float] = []
    states: list[FilmState] = []
    for time_ps, spins in zip(shot.times_ps, frames, strict=False):
        sz = spins[2]
        trace.append(float(sz.mean()))
        if states and time_ps < weak_ps:
            continue
        states.append(film_state(sz))
        domains = states[-1].reversed_sites > _LARGE_SITES
        if len(states) > 1 and (
            states[-1].is_empty or (domains and time_ps >= max(over_ps, MOVIE.duration_ps))
        ):
            break
    kept = trace[: len(MOVIE.times_ps)]
    kept += kept[-1:] * (len(MOVIE.times_ps) - len(kept))
    return np.array(kept), states[0], states[-1]


def make_library(
    count: int,
    path: Path,
    *,
    threads: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> LibraryShots:
    """Simulate the first ``count`` shots of the library into ``path`` (HDF5), or the rest of them.

    ``progress`` is told how many are done. Raises StateError for a file that holds something else.
    """
    about = {"library": "switching", "pulses": PULSES.model_dump(), "first seed": FIRST_SEED}
    with MovieFile(path, (len(MOVIE.times_ps),), about) as file:
        waiting: deque[PlannedShot] = deque()

        def shots() -> Iterator[Shot]:
            for planned in library_shots(count, len(file)):
                waiting.append(planned)
                yield planned.shot

        movies = simulate_batch(shots(), watch, threads=threads, device=device)
        for trace, before, after in movies:
            each = waiting.popleft()
            p, pulse = each.sample.parameters, each.pulse
            couplings = (p.damping, p.moment_muB, p.anisotropy_meV, p.dmi_meV)
            facts = {
                "sample": [*couplings, each.sample.field_calibration],
                "pulse": [pulse.amplitude_T, pulse.theta_deg, pulse.width_ps],
                "size": before.reversed_sites,
                "outcome": outcome_of(before, after),
            }
            file.append(trace, facts)
            progress(len(file))
        rows = list(file)[:count]
    traces, facts = zip(*rows, strict=True)
    return LibraryShots(
        samples=np.array([fact["sample"] for fact in facts]),
        pulses=np.array([fact["pulse"] for fact in facts]),
        sizes=np.array([fact["size"] for fact in facts]),
        traces=np.stack(traces),
        outcomes=np.array([OUTCOMES.index(fact["outcome"]) for fact in facts]),
    )


MEMBERS = 5
"""Networks in an ensemble: their mean is less sure of itself than any of them."""
_HIDDEN = (32, 32)
_LIBRARY_SEED = 3 * FIRST_SEED
_AMPLITUDES_T = (2.0, 2.2, 2.4, 2.6, 2.8, 3.0)
_ANGLES_DEG = (28.0, 36.0, 44.0, 52.0, 60.0, 67.0)
_WIDTHS_PS = tuple(round(10.5 * 1.09**i, 1) for i in range(12))


@dataclass(frozen=True)
class FitReport:
    """How good the fit is, on shots it has not seen: one film in five is left out at a time.

    log_loss : of the outcomes, nats; prior_log_loss : of the outcomes' frequencies alone
    spread : standard deviation of the signals about what is expected
    """

    shots: int
    log_loss: float
    prior_log_loss: float
    spread: dict[str, float]


def scaled(samples: np.ndarray, pulses: np.ndarray) -> np.ndarray:
    """(shots, 6) what a film's motion depends on: ln α, K, D, field, ln duration, angle.

    samples (shots, 5), pulses (shots, 3) as in `LibraryShots`. A film of another moment μ_s moves
    the same at 1/μ_s of the field, μ_s times as slowly (the couplings stay), so that moment and
    calibration need no input of their own.
    """
    damping, moment, anisotropy, dmi, calibration = samples.T
    amplitude, theta, width = pulses.T
    return np.column_stack(
        [
            np.log(damping), anisotropy, dmi, amplitude * calibration * moment,
            np.log(width / moment), np.deg2rad(theta),
        ]
    )  # fmt: skip


def _slowness(samples: np.ndarray) -> np.ndarray:
    """(shots,) by how much a film is slower than one of 1 μ_B."""
    return samples[:, 1]


class _Fit:
    """The networks, fitted to some of the shots."""

    def __init__(self, shots: LibraryShots, chosen: np.ndarray, members: int) -> None:
        x = scaled(shots.samples, shots.pulses)
        self._flips, self._furthest = seen_signals(shots)
        rows = {
            "outcome": chosen,
            "flip_ps": chosen & np.isfinite(self._flips),
            "furthest": chosen & np.isnan(self._flips),
        }
        y = {
            "outcome": shots.outcomes,
            "flip_ps": self._flips / _slowness(shots.samples),
            "furthest": self._furthest,
        }
        self._networks: dict[str, list[Any]] = {
            name: [
                make_pipeline(
                    StandardScaler(),
                    (MLPClassifier if name == "outcome" else _Standardised)(
                        _HIDDEN, alpha=0.3, max_iter=800, random_state=member
                    ),
                ).fit(x[rows[name]], y[name][rows[name]])
                for member in range(members if name == "outcome" else 1)
            ]
            for name in rows
        }

"""What the target seeker knows beforehand: simulated shots at random samples, and what they do.

`skyctl train seeker` fires random pulses at films drawn from `SampleSpread`, and fits what the film
is seen to do as smooth functions of sample and pulse. What it writes, `switching.npz`, is all that
an agent ever gets of a simulator.
"""

import itertools
import json
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skyctl import __version__
from skyctl.agents.imagined_film import switching_inputs
from skyctl.agents.outcome import likeliest, outcome_of, signals
from skyctl.agents.switching_library import PULSE_COLUMNS
from skyctl.belief import Belief
from skyctl.errors import needs
from skyctl.process import OUTCOMES, SWITCHING
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.instrument.spread import DrawnSample, PulseSpread, SampleSpread
from skyctl.simulators.lattice.files import MovieFile
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.topology import film_truth
from skyctl.verdict import FilmState

with needs("train"):
    import sklearn
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import VotingClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

FIRST_SEED = 1_000_000_000
"""Seeds of `SampleSpread` from here on are the library's: a test of the seeker takes others."""
SHOTS_PER_FILM = 30
PULSES = PulseSpread(amplitude_T=(2.0, 3.0), theta_deg=(25.0, 68.0), width_ps=(10.0, 28.0))
"""Where switching was found: below it films breathe or break up, above it they collapse."""
MOVIE = FrameSchedule(duration_ps=165.0, interval_ps=5.0)
_SETTLED_PS = 100.0
_LARGE_SITES = 500

SAMPLES = 400
_AMPLITUDES_T = (2.0, 2.2, 2.4, 2.6, 2.8, 3.0)
_ANGLES_DEG = (28.0, 36.0, 44.0, 52.0, 60.0, 67.0)
_WIDTHS_PS = (10.5, 11.5, 12.5, 13.5, 14.5, 16.0, 17.5, 19.0, 20.5, 22.5, 24.5, 27.0)
_NETWORK = {"hidden_layer_sizes": (32, 32), "alpha": 0.3, "max_iter": 400}
_MEMBERS = 5
_FOLDS = 3


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

    sample: DrawnSample
    pulse: Pulse
    shot: MovieSpec


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
        yield PlannedShot(
            sample, pulse, MovieSpec(parameters, times, sample.delivered(pulse), spins)
        )


def _end_ps(pulse: Pulse) -> float:
    """When 3e-4 of the peak is left, ps."""
    return pulse.peak_ps + 4 * pulse.width_ps


def watch(shot: MovieSpec, frames: Iterator[np.ndarray]) -> tuple[np.ndarray, FilmState, FilmState]:
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
        states.append(_state(spins))
        domains = states[-1].reversed_sites > _LARGE_SITES
        if len(states) > 1 and (
            states[-1].is_empty or (domains and time_ps >= max(over_ps, MOVIE.duration_ps))
        ):
            break
    kept = trace[: len(MOVIE.times_ps)]
    kept += kept[-1:] * (len(MOVIE.times_ps) - len(kept))
    return np.array(kept), states[0], states[-1]


def _state(spins: np.ndarray) -> FilmState:
    """What a perfect camera would see of a film, (3, H, W)."""
    state, background = film_truth(spins)
    return FilmState(
        background=background,
        discs=int(state == "one"),
        domains=int(state == "other"),
        reversed_sites=int(np.count_nonzero(spins[2] * background < 0)),
    )


def _known(film: FilmState) -> Belief:
    return Belief.certain(film.kind, film.background)


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

        def shots() -> Iterator[MovieSpec]:
            for planned in library_shots(count, len(file)):
                waiting.append(planned)
                yield planned.shot

        movies = simulate_batch(shots(), watch, threads=threads, device=device)
        for trace, before, after in movies:
            each = waiting.popleft()
            facts = {
                "sample": sample_numbers(each.sample),
                "pulse": [getattr(each.pulse, name) for name in PULSE_COLUMNS],
                "size": before.reversed_sites,
                "outcome": likeliest(outcome_of(_known(before), _known(after))),
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


@dataclass(frozen=True)
class FitReport:
    """How good the fit is on films it has not seen: one in three is left out at a time.

    log_loss : of the outcomes, nats; prior_log_loss : of their frequencies alone
    likely, switched : mean chance of switching of the twentieth of the shots that have the highest,
        and the share of them that did
    spread : standard deviations of the signals about what is expected
    """

    shots: int
    log_loss: float
    prior_log_loss: float
    likely: float
    switched: float
    spread: dict[str, float]


def fit_library(
    shots: LibraryShots,
    path: Path,
    *,
    command: str = "",
    progress: Callable[[], None] = lambda: None,
) -> FitReport:
    """Fit the shots and write the library that the agent reads (.npz); ``progress`` comes 6 times.

    Outcomes by an ensemble of small networks, signals by one each, the skyrmion's size by a
    quadratic. Evaluated at SAMPLES samples drawn from `SampleSpread` and a grid of pulses. All
    seeds are fixed: equal shots make an equal file.

    command : what makes the file again; written into it, with versions and the report

    Raises ValueError for shots at one film, or with one outcome.
    """
    if len(shots) <= SHOTS_PER_FILM or len(np.unique(shots.outcomes)) < 2:
        raise ValueError(
            f"{len(shots)} shots, {len(np.unique(shots.outcomes))} kinds of outcome: too few to "
            "fit; simulate more"
        )
    tasks = _regressions(shots)
    with warnings.catch_warnings():
        # Weight decay bounds the networks, not the passes: running out of passes is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        report = _left_out(shots, tasks, progress)
        about = {"command": command, "skyctl": __version__, "scikit-learn": sklearn.__version__}
        _write(path, tasks, report.spread, {**about, "fit": asdict(report)}, progress)
    return report


@dataclass(frozen=True)
class _Regression:
    """Something to fit: y (n,) over x (n, inputs), from the shots numbered ``rows``."""

    model: Any
    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    unit: np.ndarray | float = 1.0


def _regressions(shots: LibraryShots) -> dict[str, _Regression]:
    x = switching_inputs(shots.samples, shots.pulses)
    times_ps, peak_ps = np.array(MOVIE.times_ps), Pulse(width_ps=1).peak_ps
    seen = [signals(times_ps, trace, -1, peak_ps) for trace in shots.traces]
    flips = np.array([s.flip_ps for s in seen])
    furthest = np.array([s.furthest for s in seen])
    turned, stayed = np.flatnonzero(np.isfinite(flips)), np.flatnonzero(np.isnan(flips))
    every, moment = np.arange(len(shots)), shots.samples[turned, 1]
    return {
        "chances": _Regression(_outcome_model(), x, shots.outcomes, every),
        # In the film's own time, see `switching_inputs`.
        "flip_ps": _Regression(_signal_model(), x[turned], flips[turned] / moment, turned, moment),
        "furthest": _Regression(_signal_model(), x[stayed], furthest[stayed], stayed),
        "log_size": _Regression(_size_model(), shots.samples[:, 2:4], np.log(shots.sizes), every),
    }


def _left_out(
    shots: LibraryShots, tasks: dict[str, _Regression], progress: Callable[[], None]
) -> FitReport:
    """Predict each film's shots from the others'."""
    predicted: dict[str, np.ndarray] = {}
    for name, task in tasks.items():
        films = task.rows // SHOTS_PER_FILM
        folds = GroupKFold(min(_FOLDS, len(np.unique(films))))
        method = "predict_proba" if name == "chances" else "predict"
        left_out: Any = cross_val_predict(
            task.model, task.x, task.y, groups=films, cv=folds, method=method
        )
        predicted[name] = left_out
        progress()
    chances = _all_outcomes(predicted.pop("chances"), np.unique(shots.outcomes))
    switching = chances[:, OUTCOMES.index(SWITCHING)]
    likeliest = np.argsort(-switching, kind="stable")[: max(1, len(shots) // 20)]
    frequency = np.bincount(shots.outcomes) / len(shots)
    return FitReport(
        shots=len(shots),
        log_loss=float(-np.log(chances[np.arange(len(shots)), shots.outcomes]).mean()),
        prior_log_loss=float(-np.log(frequency[shots.outcomes]).mean()),
        likely=float(switching[likeliest].mean()),
        switched=float((shots.outcomes[likeliest] == OUTCOMES.index(SWITCHING)).mean()),
        spread={
            name: float(np.std((tasks[name].y - found) * tasks[name].unit))
            for name, found in predicted.items()
        },
    )


def _write(
    path: Path,
    tasks: dict[str, _Regression],
    spread: dict[str, float],
    about: dict[str, Any],
    progress: Callable[[], None],
) -> None:
    """Fit to all shots, and evaluate at random samples and a grid of pulses."""
    samples = np.array(
        [sample_numbers(SampleSpread().draw(3 * FIRST_SEED + i)) for i in range(SAMPLES)]
    )
    pulses = np.array(list(itertools.product(_AMPLITUDES_T, _ANGLES_DEG, _WIDTHS_PS)))
    at = switching_inputs(np.repeat(samples, len(pulses), 0), np.tile(pulses, (len(samples), 1)))
    fitted = {name: task.model.fit(task.x, task.y) for name, task in tasks.items()}
    progress()
    table = (len(samples), len(pulses))
    outcome = fitted["chances"]
    values = {
        "chances": _all_outcomes(outcome.predict_proba(at), outcome.classes_).reshape(*table, -1),
        "flip_ps": fitted["flip_ps"].predict(at).reshape(table) * samples[:, 1:2],
        "furthest": fitted["furthest"].predict(at).reshape(table),
        "log_size": fitted["log_size"].predict(samples[:, 2:4]),
    }
    with path.open("wb") as file:  # numpy would add .npz to a name without it
        np.savez_compressed(
            file,
            samples=samples,
            pulses=pulses,
            spread=np.array(json.dumps(spread)),
            about=np.array(json.dumps(about)),
            **{name: value.astype(np.float16) for name, value in values.items()},
        )
    progress()


def sample_numbers(sample: DrawnSample) -> tuple[float, ...]:
    """α, μ_s (μ_B), K (meV), D (meV), field calibration: a row of ``samples``."""
    p = sample.parameters
    couplings = (p.damping, p.moment_muB, p.anisotropy_meV, p.dmi_meV)
    return (*couplings, sample.field_calibration)


def _outcome_model() -> Any:
    members = [(f"{i}", MLPClassifier(random_state=i, **_NETWORK)) for i in range(_MEMBERS)]
    return make_pipeline(StandardScaler(), VotingClassifier(members, voting="soft"))


def _signal_model() -> Any:
    network = MLPRegressor(random_state=0, **_NETWORK)
    return make_pipeline(
        StandardScaler(), TransformedTargetRegressor(network, transformer=StandardScaler())
    )


def _size_model() -> Any:
    return make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(0.1))


def _all_outcomes(chances: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(rows, len(OUTCOMES)), from columns for the outcomes ``present``; none is impossible."""
    every = np.zeros((len(chances), len(OUTCOMES)))
    every[:, present] = chances
    return 0.99 * every + 0.01 / len(OUTCOMES)

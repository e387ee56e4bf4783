"""Rehearsal: a plan on simulated twins of the sample first; no real device moves."""

import contextlib
import copy
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd.utils import LimitError

from skyctl.agents.allowed import Allowed
from skyctl.agents.characteriser import SampleGuess
from skyctl.agents.imagining_seeker import ImaginingSeeker
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.switching_library import SwitchBelief
from skyctl.agents.tasks import Task
from skyctl.beamline import Beamline, simulated_beamline
from skyctl.devices.guard import Envelope, Spent
from skyctl.devices.simulated import SimulatedSample
from skyctl.errors import PulseRefused
from skyctl.inference.model import MovieClassifier
from skyctl.plans.mapping import MapReport
from skyctl.plans.modes import dry_run
from skyctl.plans.protocols import Beamline as AnyBeamline
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.seen_mean import seen_mean
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.empty_film import empty_film_mean_sz
from skyctl.simulators.lattice.film import SKYRMION_RELAXES_PS, Film, FilmParameters
from skyctl.verdict import ShotResult

_NOT_FOR_TWINS = ("oversight", "on_task", "md")
"""Arguments of a plan that are for people and documents: a twin asks nobody and tells nobody."""


@dataclass(frozen=True)
class RehearsedRun:
    """The plan on one twin.

    sample : what was guessed of the sample; outcome : how the plan ended, in a few words
    reached : whether that is what the plan is for; pulses : what was fired, in order
    """

    sample: str
    outcome: str
    reached: bool
    pulses: tuple[Pulse, ...]

    @property
    def dose_T2ps(self) -> float:
        """∫B² dt of all that was fired, T²·ps."""
        return sum(pulse.dose_T2ps for pulse in self.pulses)


@dataclass(frozen=True)
class Rehearsal:
    """What a plan is to be expected to do.

    plan : its name; refused : why its limits forbid it, or "" (then it ran on every twin)
    """

    plan: str
    refused: str
    runs: tuple[RehearsedRun, ...]

    @property
    def success(self) -> float:
        """Share of the twins on which it reached what it is for."""
        return statistics.fmean(run.reached for run in self.runs) if self.runs else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values: shots and dose as (least, median, most) over the twins."""
        return {
            "plan": self.plan,
            "refused": self.refused,
            "success": self.success,
            "outcomes": dict(Counter(run.outcome for run in self.runs)),
            "shots": _spread([len(run.pulses) for run in self.runs]),
            "dose_T2ps": _spread([run.dose_T2ps for run in self.runs]),
            "runs": [
                {
                    "sample": run.sample,
                    "outcome": run.outcome,
                    "reached": run.reached,
                    "pulses": [str(pulse) for pulse in run.pulses],
                    "dose_T2ps": run.dose_T2ps,
                }
                for run in self.runs
            ],
        }

    def __str__(self) -> str:
        if self.refused:
            return f"{self.plan}: {self.refused}"
        told = self.as_json()
        outcomes = ", ".join(f"{what} ({count})" for what, count in told["outcomes"].items())
        (least, median, most), dose = told["shots"], told["dose_T2ps"]
        return (
            f"{self.plan} on {len(self.runs)} twins: {outcomes}; {median:g} pulses "
            f"({least:g} to {most:g}), {dose[1]:.0f} T²ps ({dose[0]:.0f} to {dose[2]:.0f})"
        )


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return (min(values), statistics.median(values), max(values)) if values else (0.0, 0.0, 0.0)


def guesses(
    count: int,
    seed: int = 0,
    belief: SwitchBelief | None = None,
    film: FilmParameters | None = None,
) -> list[DrawnSample]:
    """Samples that may be the one under the camera.

    belief : what its shots said so far (``PulseMemory.switching``); None is before the first
    film : size, edges, temperature and exchange of the twins; None is the default film

    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"{count} twins: give 1 or more")
    belief = belief or SwitchBelief()
    rows = np.random.default_rng(seed).choice(
        belief.library.samples, count, p=belief.weights / belief.weights.sum()
    )
    return [sample_of(SampleGuess(*(float(value) for value in row)), film) for row in rows]


def sample_of(guess: SampleGuess, film: FilmParameters | None = None) -> DrawnSample:
    """The simulated sample of a guess; ``film`` as in `guesses`."""
    parameters = replace(
        film or FilmParameters(), damping=guess.damping, moment_muB=guess.moment_muB,
        anisotropy_meV=guess.anisotropy_meV, dmi_meV=guess.dmi_meV,
    )  # fmt: skip
    return DrawnSample(parameters, guess.field_calibration)


def twin_mean_sz(sample: SampleGuess, pulse: Pulse, times_ps: np.ndarray) -> np.ndarray:
    """How the mean S_z of the default film, empty and cold, answers a pulse: a `Predict`."""
    drawn = sample_of(sample)
    return empty_film_mean_sz(drawn.parameters, drawn.delivered(pulse), times_ps)


def twin_skyrmion(
    samples: np.ndarray, pulse: Pulse, times_ps: np.ndarray, noise: float
) -> np.ndarray:
    """How the mean S_z of the default film, cold and with one skyrmion, answers a pulse: a `Twin`.

    Its steps are the longest that are stable: half the time, and 2e-7 of S_z off what usual ones
    make of a weak pulse.
    """

    def answer(sample: DrawnSample) -> list[float]:
        film, delivered = Film(sample.parameters, precision="f4"), sample.delivered(pulse)
        film.spins = _resting_skyrmion(film.parameters.anisotropy_meV, film.parameters.dmi_meV)
        step_ps = film.stable_step_ps(delivered)
        frames = film.frames(delivered, times_ps.tolist(), step_ps)
        return [float(seen_mean(spins[2], (noise,))[0]) for spins in frames]

    drawn = [sample_of(SampleGuess(*row[:5])) for row in samples.tolist()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array([*pool.map(answer, drawn)])


@lru_cache(maxsize=32)
def _resting_skyrmion(anisotropy_meV: float, dmi_meV: float) -> np.ndarray:
    """As it is in films of any damping and moment. It relaxes from the default film's, in a quarter
    of the time that `Film.set_skyrmion` takes, to the same torque."""
    begun = Film(FilmParameters(damping=1.0), precision="f4")
    begun.set_skyrmion()
    calm = FilmParameters(damping=1.0, anisotropy_meV=anisotropy_meV, dmi_meV=dmi_meV)
    film = Film(calm, precision="f4")
    film.spins = begun.spins
    film.relax(SKYRMION_RELAXES_PS)
    return film.spins


@lru_cache(maxsize=1)
def _compile_films() -> None:
    """Load what films are computed with before the first pulse: done between two pulses, in the
    agent's thread, it holds up a RunEngine's loop for half a second."""
    for precision in ("f4", "f8"):
        film = Film(FilmParameters(rows=8, columns=8), precision=precision)
        film.set_uniform(-1)
        film.relax(1.0)
        film.advance(1.0, Pulse(width_ps=1.0))


def imagining_seeker(
    task: Task, centre: tuple[float, float], memory: PulseMemory, allowed: Allowed
) -> ImaginingSeeker:
    """The seeker that imagines what pulses do (entry point "imagining" of skyctl.agents), with the
    film itself to fit its sample with."""
    _compile_films()
    return ImaginingSeeker(task, centre, memory, allowed, twin=twin_skyrmion)


def rehearse(
    plan: Callable[..., Generator[Msg, Any, Any]],
    arguments: dict[str, Any],
    beamline: AnyBeamline,
    samples: Sequence[DrawnSample],
    *,
    start: str = "empty",
    seed: int = 0,
    model: MovieClassifier | None = None,
    progress: Callable[[RehearsedRun], None] = lambda run: None,
) -> Rehearsal:
    """Run a plan on simulated twins, inside what the real pulser's guard still allows.

    plan : of `skyctl.plans`, or one that takes a beamline as they do
    arguments : what it is called with besides the beamline. Each twin gets a copy, so that what a
        memory holds stays as it is; nobody is asked for approval
    beamline : the real one. Envelope, ledger's sums and movie are read, nothing is set
    samples : the guesses, a twin each (`guesses`)
    start : what is in the twins' film; seed : of their thermal noise

    First the plan's own pulses are checked against the limits (`dry_run`); where they are refused
    the report says why and no twin runs. Not for the RunEngine's own thread: in a plan call it with
    `skyctl.plans.threads.in_thread`.
    """
    settings = {name: value for name, value in arguments.items() if name not in _NOT_FOR_TWINS}
    guard = beamline.pulser.describe_guard()
    envelope, spent = Envelope(**guard["envelope"]), Spent(**guard["spent"])
    model = model or MovieClassifier()
    runs: list[RehearsedRun] = []
    for number, sample in enumerate(samples):
        with (
            tempfile.TemporaryDirectory() as folder,
            simulated_beamline(
                Path(folder), parameters=sample.parameters, start=start, model=model,
                envelope=envelope, spent=spent, field_calibration=sample.field_calibration,
                seed=seed + number,
            ) as twin,
        ):  # fmt: skip
            twin.camera.film_like(beamline.camera.movie)
            twin.camera.ends_early.put(beamline.camera.ends_early.get())
            if not runs and (refused := _refusal(plan, twin, settings)):
                return Rehearsal(plan.__name__, refused, ())
            runs.append(_run(plan, twin, settings, str(sample)))
        progress(runs[-1])
    return Rehearsal(plan.__name__, "", tuple(runs))


def _call(
    plan: Callable[..., Generator[Msg, Any, Any]],
    twin: Beamline[SimulatedSample],
    settings: dict[str, Any],
) -> Generator[Msg, Any, Any]:
    return plan(twin, **copy.deepcopy(settings))


def _refusal(
    plan: Callable[..., Generator[Msg, Any, Any]],
    twin: Beamline[SimulatedSample],
    settings: dict[str, Any],
) -> str:
    RunEngine({}, context_managers=[])  # whose loop the check runs in
    try:
        dry_run(_call(plan, twin, settings))
    except (PulseRefused, LimitError) as error:
        return str(error)
    return ""


def _run(
    plan: Callable[..., Generator[Msg, Any, Any]],
    twin: Beamline[SimulatedSample],
    settings: dict[str, Any],
    sample: str,
) -> RehearsedRun:
    # No signal handler: it may run beside the real RunEngine, whose Ctrl-C it is.
    engine = RunEngine({}, call_returns_result=True, context_managers=[])
    engine.pause_msg = ""  # how to go on: nobody does
    try:
        result: Any = engine(_call(plan, twin, settings))
        reached, outcome = _told(result.plan_result)
    except PulseRefused as error:
        reached, outcome = False, str(error)
    except (KeyboardInterrupt, RunEngineInterrupted):
        with contextlib.suppress(RuntimeError):  # it may be past that
            engine.abort("interrupted")
        raise KeyboardInterrupt from None
    return RehearsedRun(sample, outcome, reached, twin.pulser.guard.fired)


def _told(result: Any) -> tuple[bool, str]:
    """Whether a plan did what it is for, and how it ended, from what it returned."""
    if isinstance(result, ShotResult):
        return not result.problem, result.problem or result.label
    if isinstance(result, MapReport):
        return result.finished, result.reason or "mapped"
    return result.reached, "reached" if result.reached else result.reason

"""A film under camera and classifier, and a campaign at it, without sockets and RunEngine.

Film, camera, classifier and belief are the beamline's own. What a plan does with them is done here
in one thread, so that hundreds of lives of the loop take minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from skyctl.agents.campaign import Campaign, Fire, Look, Stop
from skyctl.belief import Belief
from skyctl.devices.classifier import distrust, hold_after
from skyctl.devices.simulated import SimulatedSample
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.process import Kind, process_of
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.physics.topology import film_truth, topological_charge
from skyctl.verdict import ShotResult, Verdict

MOVIE = FrameSchedule(duration_ps=165.0, interval_ps=5.0)
SPARING = MOVIE.model_copy(update={"quiet_ps": 40.0})
"""As MOVIE, with few frames before the pulse's peak."""


@dataclass(frozen=True)
class Conditions:
    """How a film is held and seen: its temperature, and the camera's noise in units of S_z."""

    temperature_K: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Fired:
    """A shot, and what truly became of the film: to judge, never to decide.

    process : that truly happened; label : of the verdict, "unsure" where it names none
    early : the verdict was sure enough to end the movie; right : so was its transition
    """

    process: str
    label: str
    early: bool
    right: bool


class _Direct:
    """A publisher that hands frames to a classifier in the same thread.

    blind : looks show nothing, every pixel the same
    """

    def __init__(self, streaming: StreamingClassifier, blind: bool) -> None:
        self._handle, self._blind = streaming.handle, blind
        self._start: ShotStart | None = None
        self._frames = 0

    def start(self, start: ShotStart) -> None:
        self._start, self._frames = start, 0
        self._handle(start)

    def frame(self, frame: Frame) -> None:
        self._frames += 1
        if self._blind and self._start and self._start.pulse is None:
            frame = replace(frame, data=np.zeros_like(frame.data))
        self._handle(frame)

    def end(self, run: str, shot: str, frames: int, *, ended_early: bool = False) -> None:
        counts = Counts(received=self._frames, missing=frames - self._frames)
        self._handle(ShotEnd(run, shot, frames, counts, ended_early=ended_early))


class Rig:
    """One film under camera and classifier. ``fire`` and ``look`` give what a plan would get.

    model : the network, or what stands in its place; ends_early : a sure verdict ends the movie
    blind : looks show nothing; movie : what is filmed after a pulse

    frames : read so far; held : why a plan's pulser would hold fire now, or ""
    fired : every shot, with what truly happened; said : the transitions that the network gave them
    """

    def __init__(
        self,
        sample: DrawnSample,
        conditions: Conditions,
        seed: int,
        *,
        model: MovieClassifier | None = None,
        ends_early: bool = True,
        blind: bool = False,
        movie: FrameSchedule = MOVIE,
    ) -> None:
        parameters = replace(sample.parameters, temperature_K=conditions.temperature_K)
        self.sample, self.film = sample, Film(parameters, precision="f4", seed=seed)
        self._results: list[ShotResult] = []
        self._streaming = StreamingClassifier(model or MovieClassifier())
        self._streaming.subscribe(self._take)
        publisher: Any = _Direct(self._streaming, blind)
        noisy = Imaging(gaussian_noise=conditions.noise, seed=seed) if conditions.noise else None
        self._driver = SimulatedSample(
            self.film, publisher, imaging=noisy, field_calibration=sample.field_calibration
        )
        self._ends_early, self._movie = ends_early, movie
        self._may_end = ends_early
        self._shots = 0
        self._hold = ""
        self.frames = 0
        self.fired: list[Fired] = []
        self.said: list[tuple[float, ...]] = []

    @property
    def belief(self) -> Belief:
        """About film and network, as a plan has it."""
        return self._streaming.belief

    @property
    def held(self) -> str:
        """What the classifier's interlock says."""
        return distrust(self.belief, self._streaming.model.card.reliability) or self._hold

    def _take(self, news: Verdict | ShotResult) -> None:
        if isinstance(news, ShotResult):
            self._results.append(news)
        elif news.early and self._may_end:
            self._driver.finish(news.shot)

    def look(self) -> ShotResult:
        """Film at rest, one frame."""
        return self._film_shot(None)

    def fire(self, pulse: Pulse, whole_movie: bool = False) -> ShotResult:
        """Fire, film, classify, and let the film settle."""
        before = self.truth()
        result = self._film_shot(pulse, whole_movie)
        self.fired.append(_judged(result, before, self.truth()))
        if result.verdict:
            self.said.append(result.verdict.transitions)
        return result

    def truth(self) -> tuple[Kind, int]:
        """What the film is: to judge, never to decide."""
        calm = Film(replace(self.film.parameters, temperature_K=0.0), precision="f4")
        calm.spins = self.film.spins
        if self.film.parameters.temperature_K > 0:
            calm.settle()
        return film_truth(calm.spins)

    def charge(self) -> float:
        """The film's topological charge: to judge, never to decide."""
        return topological_charge(self.film.spins)

    def close(self) -> None:
        """Stop the film's thread."""
        self._driver.close()

    def _film_shot(self, pulse: Pulse | None, whole_movie: bool = False) -> ShotResult:
        self._shots += 1
        shot = f"{self._shots}"
        self._may_end = self._ends_early and not whole_movie
        exposure = Exposure(shot=shot, pulsed=pulse is not None, ends_early=self._may_end)
        self._driver.expose("bench", exposure, self._movie)
        if pulse:
            self._driver.fire(shot, pulse)
        self._driver.wait_settled()
        if self._driver.error:
            raise self._driver.error
        result = self._results[-1]
        self.frames += result.counts.received
        self._hold = hold_after(result)
        return result


def _judged(result: ShotResult, before: tuple[Kind, int], after: tuple[Kind, int]) -> Fired:
    process = process_of(before[0], after[0], before[1] != after[1])
    verdict = result.verdict
    return Fired(
        process=process,
        label=result.label,
        early=verdict is not None and verdict.early,
        right=result.label == process,
    )


@contextmanager
def filmed(sample: DrawnSample, conditions: Conditions, seed: int, **options: Any) -> Iterator[Rig]:
    """A `Rig`, closed in the end; ``options`` as its."""
    rig = Rig(sample, conditions, seed, **options)
    try:
        yield rig
    finally:
        rig.close()


class FilmedSample(Protocol):
    """What `run_campaign` needs; `Rig` is one."""

    @property
    def held(self) -> str: ...
    @property
    def belief(self) -> Belief: ...
    def look(self) -> ShotResult: ...
    def fire(self, pulse: Pulse, whole_movie: bool = False) -> ShotResult: ...


def run_campaign(campaign: Campaign, rig: FilmedSample, look_after_each: bool = False) -> Stop:
    """Carry a campaign out without a RunEngine: `skyctl.plans.campaign.pursue`, in autonomy.

    look_after_each : look at the film after every shot, whether the belief wants it or not
    """
    while True:
        belief = rig.belief
        step = campaign.step(belief, rig.held)
        if isinstance(step, Look):
            campaign.looked(rig.look())
        elif isinstance(step, Fire):
            proposal = step.proposal
            campaign.fired(proposal, belief, rig.fire(proposal.pulse, proposal.whole_movie))
            if look_after_each:
                campaign.looked(rig.look())
        else:
            return step

"""Beamline: everything between a plan and a sample; and how it is assembled around any sample."""

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from skyctl.devices.camera import FilmCamera
from skyctl.devices.classifier import ClassifierDevice
from skyctl.devices.decisions import DecisionLog
from skyctl.devices.frame_stream import check_folder
from skyctl.devices.guard import Envelope, Guard, Spent
from skyctl.devices.pulser import Pulser
from skyctl.devices.simulated import SampleDriver
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.state_check import StateCheck
from skyctl.inference.streaming import StreamingClassifier, foreign_to
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording.files import Storage
from skyctl.stream.hub import Hub
from skyctl.stream.metrics import HubCollector, MetricsServer
from skyctl.stream.publisher import Publisher
from skyctl.stream.sources.source import Source

SampleT = TypeVar("SampleT", bound=SampleDriver)


@dataclass(frozen=True, repr=False)
class Beamline(Generic[SampleT]):
    """Everything between a plan and a sample, wired together; a context manager.

    sample : the driver behind pulser and camera; folder : where recordings go
    streaming : what classifies the hub's movies, and believes something of the film
    publisher : where the sample sends its frames; None where a detector sends them itself
    """

    pulser: Pulser
    camera: FilmCamera
    classifier: ClassifierDevice
    decisions: DecisionLog
    sample: SampleT
    streaming: StreamingClassifier
    hub: Hub
    folder: Path
    publisher: Publisher | None = None
    metrics: MetricsServer | None = None

    @property
    def is_open(self) -> bool:
        """Whether frames can arrive: not any more once it is closed."""
        return self.hub.alive

    def __repr__(self) -> str:
        shape = " × ".join(str(n) for n in self.sample.shape)
        card = self.streaming.model.card
        return (
            f"Beamline({type(self.sample).__name__} {shape}, frames from {self.hub.address}, "
            f"{card.name} {card.version}, recordings in {self.folder}, "
            f"{'open' if self.is_open else 'closed'})"
        )

    def __enter__(self) -> "Beamline[SampleT]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disarm, finish what was fired, release threads and port."""
        if not self.is_open:
            return
        self.pulser.disarm("the beamline closes")
        self.sample.close()
        self.pulser.guard.close()
        if self.metrics:
            self.metrics.close()
        self.hub.close()
        self.classifier.close()
        if self.publisher:
            self.publisher.close()


def assemble(
    sample: SampleT,
    source: Source | Publisher,
    folder: Path | str,
    *,
    model: MovieClassifier | None = None,
    envelope: Envelope | None = None,
    ledger: Path | None = None,
    spent: Spent | None = None,
    storage: Storage | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
    check: StateCheck | None = None,
) -> Beamline[SampleT]:
    """Wire a beamline around a sample; recordings go to ``folder``, which is made if need be.

    sample : what exposes and pulses: a simulated film, or the driver of an instrument. Where frames
        come from a detector that knows no shots, the camera tells the parser which shot is next,
        with its pulse, before it calls ``sample.expose``
    source : of its frames (`skyctl.stream.sources`); or the Publisher it films into, which is
        closed with the beamline
    model : of the classifier; left out, the shipped one
    envelope, ledger, spent : of the pulser's Guard
    storage : how recordings store their frames: compressed, in several files
    metrics_port : on 127.0.0.1, where Prometheus can ask what the hub counts; 0 takes a free one
        (``metrics.url`` of the beamline), None serves nothing
    timeout_s : how long camera and classifier wait for a movie
    check : whether what the camera shows is a state of this sample (``skyctl.beamline.states``);
        None asks nobody

    The classifier's kernels are compiled before this returns: on a cold cache that takes longer
    than a hub waits for a movie's next frame.

    Raises ModelError (no such model), PulseRefused (bad ledger), StreamError (metrics port taken),
    RecordingError (a folder that no document can name) or OSError (one that cannot be made); sample
    and source are closed then. TypeError for sample and source in each other's place.
    """
    if not (hasattr(sample, "expose") and isinstance(source, Source | Publisher)):
        raise TypeError(
            f"assemble({type(sample).__name__}, {type(source).__name__}, …): first what exposes "
            "and pulses, then where its frames come from, a Source or Publisher, then a folder"
        )
    folder = Path(folder)
    publisher = source if isinstance(source, Publisher) else None
    with contextlib.ExitStack() as undo:
        if publisher:
            undo.callback(publisher.close)
        undo.callback(sample.close)
        hub = Hub(source.address if isinstance(source, Publisher) else source)
        undo.callback(hub.close)
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        facts = sample.describe()
        streaming = StreamingClassifier(
            model or MovieClassifier(), facts.get("pixel_sites"), foreign_to(facts), check
        )
        warm_up(streaming.model, sample.shape)
        guard = Guard(envelope or Envelope(), ledger, spent=spent)
        undo.callback(guard.close)
        metrics = None if metrics_port is None else _metrics(hub, streaming, metrics_port)
        undo.pop_all()
    classifier = ClassifierDevice(
        name="classifier", streaming=streaming, hub=hub, timeout_s=timeout_s
    )
    camera = FilmCamera(
        name="camera",
        driver=sample,
        hub=hub,
        folder=folder,
        classifier=streaming,
        timeout_s=timeout_s,
        storage=storage,
    )
    classifier.film_with(camera.look_unless_new)
    camera.tell_looks(classifier.prepare)
    pulser = Pulser(name="pulser", driver=sample, guard=guard)
    for interlock in (camera.hold_reason, classifier.hold_reason):
        pulser.add_interlock(interlock)
    return Beamline(
        pulser=pulser,
        camera=camera,
        classifier=classifier,
        decisions=DecisionLog(name="decisions", model=asdict(streaming.model.card)),
        sample=sample,
        streaming=streaming,
        hub=hub,
        folder=folder,
        publisher=publisher,
        metrics=metrics,
    )


def _metrics(hub: Hub, streaming: StreamingClassifier, port: int) -> MetricsServer:
    latencies = {"received_to_verdict": streaming.latency, "source_to_verdict": streaming.age}
    return MetricsServer(HubCollector(hub, latencies), port=port)


def warm_up(model: MovieClassifier, shape: tuple[int, ...]) -> None:
    """Classify a movie of frames of ``shape`` that nobody filmed, so that all kernels are compiled.

    It goes through a streaming classifier of its own: no belief, count or listener hears of it.
    """
    streaming = StreamingClassifier(model)
    movie = FrameSchedule(duration_ps=5.0, interval_ps=5.0)
    streaming.handle(ShotStart("warm-up", "1", Pulse(width_ps=1.0), movie, 2, shape))
    for index, level in enumerate((0.8, 0.9)):
        image = np.full(shape, -level, np.float32)
        image[..., ::3, ::3] = level
        frame = Frame("warm-up", "1", index, 5.0 * index, 0, image, time.monotonic_ns())
        streaming.handle(frame)
    streaming.handle(ShotEnd("warm-up", "1", 2))

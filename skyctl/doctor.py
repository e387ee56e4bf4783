"""doctor: is this installation well, does a stream lose frames here, what did a run count."""

import importlib.metadata
import math
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.beamline.file import BeamlineFile, DelaysEntry, read_beamline
from skyctl.beamline.instruments import counts_to_sz, open_camera, open_delays, open_pulser
from skyctl.devices.instruments.camera import CameraTable
from skyctl.devices.instruments.stroboscope import delay_of
from skyctl.devices.instruments.table import load_table
from skyctl.devices.ledger_accept import inspect
from skyctl.errors import SkyctlError, StreamError, install
from skyctl.frame import COUNTS, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.plugins import tried
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording.reader import Recording
from skyctl.stream.http import ask_directly
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.metrics import read_accounting
from skyctl.stream.publisher import Publisher
from skyctl.stream.sources.source import Reachable
from skyctl.stream.sources.triggers import Triggers

_FRAMES = 200
_PATIENCE_S = 30.0
_ANSWER_S = 5.0
_PAGE_BYTES = 4 * 2**20
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_SHOWN = ("bluesky", "ophyd", "numpy", "numba", "pyzmq", "cbor2", "h5py")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``found`` names the remedy where it is not well."""

    what: str
    found: str
    well: bool = True


@dataclass
class Report:
    """All that was found; ``accounting`` has the counts of each source that was asked."""

    findings: list[Finding] = field(default_factory=list)
    accounting: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether nothing is at fault."""
        return all(finding.well for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain content; a number that is not known is null."""
        counts = {
            source: {name: None if math.isnan(n) else n for name, n in numbers.items()}
            for source, numbers in self.accounting.items()
        }
        findings = [asdict(finding) for finding in self.findings]
        return {"well": self.well, "findings": findings, "accounting": counts}


def check_up(metrics_url: str | None = None, recording: Path | None = None) -> Report:
    """Look at the installation and a loopback stream; ask a running hub and a recording for more.

    Raises StreamError or RecordingError when these cannot be read.
    """
    report = Report()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    report.findings.append(Finding("Python", f"{platform.python_version()}; {versions}"))
    report.findings.append(_runtime())
    report.findings += [
        Finding(which, fault or "can be loaded", well=not fault) for which, fault in tried().items()
    ]
    try:
        model = MovieClassifier()
    except SkyctlError as error:
        report.findings.append(Finding("classifier", str(error), well=False))
    else:
        card = model.card
        report.findings.append(
            Finding("classifier", f"{card.name} {card.version} on {model.provider}")
        )
        _try_stream(model, report)
    if metrics_url:
        report.accounting["running"] = read_accounting(_page(metrics_url))
    if recording:
        with Recording(recording) as opened:
            ends = opened.ends
            there = [name for name in COUNTS if name in (ends.dtype.names or ())]
            report.accounting["recording"] = {name: float(ends[name].sum()) for name in there}
    return report


def check_instruments(path: Path) -> Report:
    """Ask every device of a beamline's file, side by side; nothing is armed or fired.

    Raises InstrumentError for a file that says something wrong.
    """
    file, here = read_beamline(path), path.resolve().parent
    asked: dict[str, Callable[[], list[Finding]]] = {
        "pulser": partial(_ask_pulser, file, here),
        "camera": partial(_ask_camera, file, here),
        "frames": partial(_ask_frames, file, here),
        "ledger": partial(_ask_ledger, file),
    }
    if file.delays:
        asked["delays"] = partial(_ask_delays, file.delays, here)
    report = Report([Finding("beamline", f"{file.name}, {path}")])
    with ThreadPoolExecutor(len(asked)) as threads:
        waiting = {name: threads.submit(ask) for name, ask in asked.items()}
        for name, answer in waiting.items():
            try:
                report.findings += answer.result()
            except SkyctlError as error:
                report.findings.append(Finding(name, str(error), well=False))
    return report


def _ask_pulser(file: BeamlineFile, here: Path) -> list[Finding]:
    pulser = open_pulser(file, here)
    try:
        pulser.wait_asked(_ANSWER_S)
        found = f"{pulser.table.name} at {pulser.transport.address}"
        faults = pulser.health.misfit
        if (held := pulser.hold_reason()) and not faults:
            return [Finding("pulser", f"{found}: {held}", well=False)]
        counted = f"{found}: alive, its counter says {pulser.account.counted}"
        return [
            Finding("pulser", counted),
            Finding("pulser's limits", faults or "as wide as the file's", not faults),
        ]
    finally:
        pulser.close()


def _ask_camera(file: BeamlineFile, here: Path) -> list[Finding]:
    camera = open_camera(file, here)
    try:
        camera.confirm()
    finally:
        camera.transport.close()
    rows, columns = camera.shape
    return [
        Finding("camera", f"{camera.table.name} at {camera.transport.address}: {rows} × {columns}")
    ]


def _ask_delays(entry: DelaysEntry, here: Path) -> list[Finding]:
    transport, table = open_delays(entry, here)
    try:
        delay = delay_of(transport, table, _ANSWER_S)
    finally:
        transport.close()
    found = f"{table.name} at {transport.address}: {delay:g} {table.delay.unit}"
    return [Finding("delays", f"{found}, {table.helicities} helicities")]


def _ask_frames(file: BeamlineFile, here: Path) -> list[Finding]:
    camera = load_table(CameraTable, file.camera.driver, here).name
    to_sz = counts_to_sz(file, camera, here)
    source = file.camera.frames.open(Triggers(), to_sz)
    try:
        if isinstance(source.transport, Reachable):
            fault = source.transport.fault(_ANSWER_S)
            found = f"{source.transport.address}: connected"
        else:
            fault, found = "", f"{source.transport.address}: open; whether it sends shows in a run"
    finally:
        source.transport.close()
    return [Finding("frames", fault or found, well=not fault)]


def _ask_ledger(file: BeamlineFile) -> list[Finding]:
    ledger = file.recordings / "ledger.jsonl"
    if not ledger.exists():
        return [Finding("ledger", f"{ledger}: new, nothing was fired")]
    found = inspect(ledger)
    spent = f"{ledger}: {found.spent.shots} pulses, {found.spent}"
    return [Finding("ledger", found.fault or spent, well=not found.fault)]


def _runtime() -> Finding:
    """Which ONNX Runtime there is: two of them break each other without a word."""
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    there = [name for name in _RUNTIMES if name in installed]
    if len(there) == 1:
        return Finding("ONNX Runtime", f"{there[0]} {importlib.metadata.version(there[0])}")
    if there:
        found = "onnxruntime and onnxruntime-gpu together: uninstall both, install one"
    else:
        found = f"not there: {install('cpu')}, or 'gpu'"
    return Finding("ONNX Runtime", found, well=False)


def _try_stream(model: MovieClassifier, report: Report) -> None:
    done = threading.Event()
    streaming = StreamingClassifier(model)

    def handle(event: Event) -> None:
        streaming.handle(event)
        if isinstance(event, ShotEnd):
            done.set()

    publisher = Publisher(timeout_s=_PATIENCE_S, clock="tcp://127.0.0.1:*")
    hub = Hub(publisher.address, clock=publisher.clock_address)
    consumer = Consumer("doctor", handle)
    hub.subscribe(consumer)
    image = np.random.default_rng(0).uniform(-1, 1, (100, 100)).astype(np.float32)
    try:
        publisher.start(
            ShotStart("doctor", "s", Pulse(width_ps=8), FrameSchedule(), _FRAMES, image.shape)
        )
        for index in range(_FRAMES):
            publisher.frame(Frame("doctor", "s", index, 0.0, time.time_ns(), image))
        publisher.end("doctor", "s")
        arrived = done.wait(_PATIENCE_S)
    finally:
        hub.close()
        consumer.close()
        publisher.close()
    counts = hub.accounting()
    report.accounting["test stream"] = {kind: float(counts[kind]) for kind in COUNTS}
    whole = arrived and counts["received"] == _FRAMES and not counts["missing"]
    found = f"{counts['received']} of {_FRAMES} frames"
    report.findings.append(Finding("stream on this machine", found, well=whole))
    report.findings.append(Finding("clock of the source", str(hub.clock)))
    for what, histogram in {
        "source to hub": hub.transit,
        "hub to verdict": streaming.latency,
        "source to verdict": streaming.age,
    }.items():
        p50, p99 = histogram.quantile(0.5), histogram.quantile(0.99)
        found = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, flat out"
        report.findings.append(Finding(f"latency, {what}", found))


def _page(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise StreamError(f"metrics {url}: no web address. Give http://127.0.0.1:PORT/metrics.")
    try:
        with ask_directly(url, _PATIENCE_S) as answer:
            return answer.read(_PAGE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise StreamError(
            f"metrics {url}: no answer ({error}). See whether the beamline runs and serves them."
        ) from error

"""A simulated beamline, a RunEngine, and the documents it lets out."""

from collections import Counter

import pytest
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators

from skyctl.agents.seeker import Bracket, PulseMemory
from skyctl.beamline import simulated_beamline


class Documents:
    """Documents of the last run, each checked against its schema as it comes."""

    def __init__(self):
        self.items = []

    def __call__(self, name, doc):
        schema_validators[DocumentNames[name]].validate(doc)
        if name == "start":
            self.items = []
        self.items.append((name, doc))

    def named(self, name):
        return [doc for kind, doc in self.items if kind == name]

    def events(self, stream):
        (uid,) = [d["uid"] for d in self.named("descriptor") if d["name"] == stream] or [None]
        return [event for event in self.named("event") if event["descriptor"] == uid]

    def counts(self):
        streams = {d["uid"]: d["name"] for d in self.named("descriptor")}
        return Counter(streams[event["descriptor"]] for event in self.named("event"))

    def seen(self):
        """How many frames arrived, by the camera's events; movies end early."""
        events = [e["data"] for e in self.named("event") if "camera_received" in e["data"]]
        for data in events:
            exposed = data["camera_received"] + data["camera_missing"]
            assert data["camera_frames_exposed"] == exposed <= data["camera_frames_promised"]
            assert data["camera_ended_early"] == (exposed < data["camera_frames_promised"])
        return sum(data["camera_received"] for data in events)

    def frames(self):
        """(indices, seq_nums) of each stretch of frames documented of the image."""
        resource = self.named("stream_resource")[0]["uid"]
        return [
            (
                (doc["indices"]["start"], doc["indices"]["stop"]),
                (doc["seq_nums"]["start"], doc["seq_nums"]["stop"]),
            )
            for doc in self.named("stream_datum")
            if doc["stream_resource"] == resource
        ]

    def assert_all_frames_documented_once(self, count):
        """Stretches that touch, from the first frame to the last, numbered as they are stored."""
        end = 0
        for (start, stop), (first, last) in self.frames():
            assert start == end
            assert (first, last) == (start + 1, stop + 1)
            end = stop
        assert end == count


@pytest.fixture
def weak():
    """A first guess that writes nothing (4 T), so that a task needs a second pulse (8 T)."""
    return PulseMemory(write_T=Bracket(1.0, 12.0, 4.0, 0.3))


@pytest.fixture
def documents():
    return Documents()


@pytest.fixture
def engine(documents):
    engine = RunEngine(call_returns_result=True)
    engine.subscribe(documents)
    return engine


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path) as line:
        yield line


@pytest.fixture
def fired(beamline, monkeypatch):
    """Names of the shots that reach the sample."""
    shots = []
    send = beamline.sample.fire

    def noting(shot, pulse):
        shots.append(shot)
        send(shot, pulse)

    monkeypatch.setattr(beamline.sample, "fire", noting)
    return shots

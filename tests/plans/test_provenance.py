"""Decisions made once more from documents and frames: the same, bit for bit, or it shows."""

import json
import shutil
import threading

import h5py
import pytest
from bluesky import RunEngine
from bluesky.callbacks.json_writer import JSONLinesWriter
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from typer.testing import CliRunner

from skyctl.agents.seeker import Bracket, PulseMemory
from skyctl.beamline import simulated_beamline
from skyctl.cli import app
from skyctl.demo import DOCUMENTS, first_guesses
from skyctl.devices.guard import Envelope
from skyctl.errors import RecordingError
from skyctl.plans import classify_shot, cycle, write
from skyctl.plans.characterise import characterise
from skyctl.plans.mapping import map_process_diagram
from skyctl.plans.modes import Answer, Oversight
from skyctl.provenance import read_documents, replay_decisions
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording
from skyctl.rehearsal import twin_mean_sz


def record(folder, plan, *, interrupt_after=None, **beamline):
    """Run a plan and keep frames and documents; the recording's path."""
    engine = RunEngine({})
    engine.subscribe(JSONLinesWriter(str(folder), DOCUMENTS))
    events = []

    def interrupt(name, _):
        events.append(name)
        if name == "event" and events.count("event") == interrupt_after:
            threading.Thread(target=engine.request_pause).start()  # it waits for this loop

    engine.subscribe(interrupt)
    with simulated_beamline(folder, **beamline) as line:
        try:
            engine(plan(line))
        except RunEngineInterrupted:
            engine.abort()
        return line.camera.recording


def replayed(file, documents=None):
    with Recording(file) as recording:
        return replay_decisions(recording, documents or file.parent / DOCUMENTS)


def approving(request):
    return Answer(True, "Ada", f"fine: {request.pulse.amplitude_T:g} T")


def weak():
    """A first guess of 4 T, which writes nothing, so that 8 T follow."""
    return PulseMemory(write_T=Bracket(1.0, 12.0, 4.0, 0.3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A task with an approver and a spent budget before it."""
    folder = tmp_path_factory.mktemp("run")
    oversight = Oversight("approve-each", approving)
    return record(folder, lambda line: write(line, memory=weak(), oversight=oversight))


@pytest.fixture
def copy(run, tmp_path):
    """Recording and documents to spoil."""
    shutil.copy(run.parent / DOCUMENTS, tmp_path / DOCUMENTS)
    return shutil.copy(run, tmp_path / run.name)


def without_the_last(documents, *wanted, streams=("decisions",)):
    """Documents without the last event of decisions, and without those that ``wanted`` names."""
    lines = documents.read_text().splitlines(keepends=True)
    told = [json.loads(line) for line in lines]
    (uid,) = [
        d["doc"]["uid"] for d in told if d["name"] == "descriptor" and d["doc"]["name"] in streams
    ]
    last = max(
        n for n, d in enumerate(told) if d["name"] == "event" and d["doc"]["descriptor"] == uid
    )
    documents.write_text(
        "".join(line for n, line in enumerate(lines) if n != last and told[n]["name"] not in wanted)
    )


def test_a_decision_made_again_that_was_not_recorded_is_a_difference(copy):
    without_the_last(copy.parent / DOCUMENTS)
    report = replayed(copy)
    assert not report.identical
    (difference,) = report.differences
    assert (difference.number, difference.reading, difference.recorded) == (1, "decision", None)


def test_of_a_run_that_was_killed_it_is_only_told(copy):
    documents = copy.parent / DOCUMENTS
    without_the_last(documents, "stop")
    with documents.open("a") as file:
        file.write('{"name": "event", "doc": {"uid')  # the line that the kill cut
    report = replayed(copy)
    assert report.identical
    assert (report.decisions, report.more) == (1, 1)


def test_every_decision_comes_out_as_recorded(run):
    report = replayed(run)
    assert report.decisions == 2
    assert report.differences == ()
    assert report.ended == ""
    (first, second) = read_documents(run.parent / DOCUMENTS, run.name).decisions
    assert second["approver"] == "Ada"
    assert second["approval"] == "approved by Ada: fine: 8 T"
    assert json.loads(second["from_probabilities"])["nothing"] > 0.8
    assert json.loads(second["calibration"])["threshold"] == 0.8
    assert first["guard_answer"] == "allowed"


def test_other_frames_make_other_decisions(copy):
    with h5py.File(copy, "r+") as file:
        frames = file["/entry/instrument/camera/data"]
        frames[6:12] = 1.0  # of the first movie, before its verdict is certain
    report = replayed(copy)
    assert not report.identical
    # Either the movie's probabilities differ or the life went another way before it was over.
    assert {each.reading for each in report.differences} & {"from_probabilities", "decision"}


@pytest.mark.parametrize("reading", ["proposal", "approval", "from_state", "model_sha256", "seed"])
def test_documents_that_were_changed_differ(copy, reading):
    documents = copy.parent / DOCUMENTS
    lines = [json.loads(line) for line in documents.read_text().splitlines()]
    event = next(
        line["doc"] for line in lines if f"decisions_{reading}" in line["doc"].get("data", {})
    )
    event["data"][f"decisions_{reading}"] = 7 if reading == "seed" else "another"
    documents.write_text("\n".join(map(json.dumps, lines)))
    report = replayed(copy)
    assert [(each.number, each.reading) for each in report.differences] == [(0, reading)]
    assert "another" in str(report.differences[0]) or reading == "seed"


def test_a_guard_that_refused_refuses_again(tmp_path):
    run = record(tmp_path, lambda line: write(line, memory=weak()), envelope=Envelope(slew_T=0.1))
    report = replayed(run)
    assert (report.decisions, report.differences) == (3, ())  # it was asked once more
    last = read_documents(tmp_path / DOCUMENTS, run.name).decisions[-1]
    assert "step above 0.1 T" in last["guard_answer"]


def test_an_aborted_run_s_decisions_come_out_as_far_as_it_went(tmp_path):
    run = record(tmp_path, write, interrupt_after=3)  # a look, a decision, a shot
    report = replayed(run)
    assert (report.decisions, report.differences) == (1, ())
    assert "nothing" in report.ended


def test_documents_of_another_run_are_refused(run, tmp_path):
    with pytest.raises(RecordingError, match=r"no run with frames in other\.h5"):
        read_documents(run.parent / DOCUMENTS, "other.h5")
    nudge = Pulse(width_ps=4.0)
    other = record(tmp_path, lambda line: classify_shot(line, nudge))
    with pytest.raises(RecordingError, match="classify_shot has no agent"):
        replayed(other)


@pytest.mark.parametrize("content", ["{", "5\n", '{"name": "event", "doc": {}}\n', ""])
def test_documents_that_are_none_are_refused(run, tmp_path, content):
    (tmp_path / "documents").write_text(content)
    with pytest.raises(RecordingError, match=r"cannot be read|no run"):
        replayed(run, tmp_path / "documents")


def test_the_command_says_whether_they_agree(run, copy, tmp_path):
    def command(file):
        options = ["--documents", str(file.parent / DOCUMENTS), "--json", str(tmp_path / "r.json")]
        return CliRunner().invoke(app, ["replay", str(file), *options])

    done = command(run)
    assert done.exit_code == 0, done.output
    assert "2 decisions, all as recorded, bit for bit" in done.output
    assert json.loads((tmp_path / "r.json").read_text())["identical"] is True
    documents = copy.parent / DOCUMENTS
    documents.write_text(documents.read_text().replace("first guess", "a whim"))
    done = command(copy)
    assert done.exit_code == 1
    assert "a whim" in done.output


def test_a_map_s_decisions_come_out(tmp_path):
    cells = {"widths_ps": (5.0, 8.0), "rows": (1.0, 2.0), "shots": 2}
    run = record(tmp_path, lambda line: map_process_diagram(line, **cells), start="skyrmion")
    report = replayed(run)
    assert (report.decisions, report.differences, report.ended) == (2, (), "")


def test_a_map_over_what_a_device_set_is_refused(tmp_path):
    cells = {"widths_ps": (5.0, 8.0), "rows": (0.3, 0.4), "shots": 1, "row_setting": "damping"}

    def plan(line):
        return map_process_diagram(line, row_device=Signal(name="damping"), **cells)

    with pytest.raises(RecordingError, match="a map over damping"):
        replayed(record(tmp_path, plan, start="skyrmion"))


@pytest.mark.slow
def test_a_characterisation_s_decisions_come_out(tmp_path):
    run = record(tmp_path, lambda line: characterise(line, twin_mean_sz))
    report = replayed(run)
    assert (report.decisions, report.differences, report.ended) == (3, (), "")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_a_whole_cycle_of_the_demonstration_comes_out_as_recorded(tmp_path, seed):
    memory, centre = first_guesses(seed)
    run = record(tmp_path, lambda line: cycle(line, shots=24, memory=memory, centre=centre))
    report = replayed(run)
    assert report.decisions >= 3
    assert (report.differences, report.ended) == ((), "")

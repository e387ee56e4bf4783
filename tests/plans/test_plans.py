"""Plans on a simulated beamline: what is done, what is documented, and when they hold back."""

import inspect
import json
import typing

import bluesky.preprocessors as bpp
import pytest
from bluesky.simulators import check_limits, summarize_plan
from bluesky_tiled_plugins import TiledWriter
from tiled.client import from_uri
from tiled.server import SimpleTiledServer

import skyctl.plans
import skyctl.plans.plans
from skyctl.agents.campaign import LOOKS_AT_MOST
from skyctl.agents.seeker import PulseMemory
from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.errors import PulseRefused
from skyctl.plans import campaign, classify_shot, cycle, erase, fire, stubs, switch, write
from skyctl.plans.modes import Answer, Oversight
from skyctl.pulse import Pulse, Spot
from skyctl.recording.reader import Recording
from skyctl.simulators.lattice.film import FilmParameters

NUDGE = Pulse(amplitude_T=2.0, width_ps=4.0)
WRITE = Pulse(amplitude_T=6.0, width_ps=16.0, spot=Spot(x=49.5, y=49.5, sigma=6))
MOVIE = 34


def test_a_cycle_writes_switches_and_erases(engine, beamline, documents, fired):
    told = []
    report = engine(cycle(beamline, on_task=told.append)).plan_result
    reports = report.tasks
    assert report.reached
    assert [(r.task, r.reached, r.reason) for r in reports] == [
        ("write", True, ""),
        ("switch", True, ""),
        ("erase", True, ""),
    ]
    assert [task.put_away() for task in told] == reports
    assert all(task.shots for task in told)
    assert not any(task.shots for task in reports)  # of thousands they would fill the memory
    assert reports[0].after.kind == "one"
    assert reports[1].after.background == -reports[1].before.background
    assert reports[2].after.kind == "empty"
    assert abs(beamline.sample.charge()) < 0.1
    pulses = sum(report.pulses for report in reports)
    assert len(fired) == len(set(fired)) == pulses == beamline.pulser.shots_fired.get()
    looks = documents.counts()["looks"]
    assert documents.counts() == {"primary": pulses, "decisions": pulses, "looks": looks}
    assert 1 <= looks <= pulses + len(reports)
    frames = sum(task.frames for task in reports)
    assert looks + 3 * pulses < frames == documents.seen() < looks + pulses * MOVIE
    documents.assert_all_frames_documented_once(frames)
    assert documents.named("stop")[0]["exit_status"] == "success"


def test_write_and_erase_alone(engine, beamline):
    assert engine(write(beamline)).plan_result.reached
    assert abs(beamline.sample.charge()) == pytest.approx(0.94, abs=0.05)
    report = engine(erase(beamline)).plan_result
    assert report.reached
    assert report.before.kind == "one"
    assert abs(beamline.sample.charge()) < 0.1


def test_switch_alone_reverses_the_charge(engine, beamline):
    assert engine(write(beamline)).plan_result.reached
    before = beamline.sample.charge()
    assert engine(switch(beamline)).plan_result.reached
    assert beamline.sample.charge() == pytest.approx(-before, abs=0.05)


def test_a_task_already_reached_fires_nothing(engine, beamline, fired):
    report = engine(erase(beamline)).plan_result
    assert (report.reached, report.pulses, fired) == (True, 0, [])


def test_a_classified_shot_is_documented(engine, documents, beamline, fired, told_in_time):
    told_in_time(beamline, 30)
    result = engine(classify_shot(beamline, WRITE, md={"sample_id": "film 7"})).plan_result
    (start,) = documents.named("start")
    assert start["sample_id"] == "film 7"
    assert start["plan_name"] == "classify_shot"
    assert start["model_sha256"] == beamline.streaming.model.card.file_sha256
    assert start["classes"] == list(beamline.classifier.classes)
    assert start["sample"]["damping"] == 0.36
    (event,) = documents.events("primary")
    assert [event["data"]["pulser_shot"]] == fired == [result.shot]
    assert event["data"]["pulser_amplitude_T"] == WRITE.amplitude_T
    assert event["data"]["classifier_label"] == result.label
    assert event["data"]["camera_missing"] == 0
    assert event["data"]["camera_ended_early"] == result.ended_early == 1
    assert event["data"]["camera_frames_exposed"] == 31
    assert event["data"]["camera_frames_promised"] == MOVIE
    documents.assert_all_frames_documented_once(documents.seen())
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == documents.seen()
        assert [shot.pulse for shot, _, _ in recording.shots()] == [None, WRITE]


def test_each_decision_is_written_down_before_its_shot(engine, beamline, documents):
    engine(write(beamline))
    decisions, shots = documents.events("decisions"), documents.events("primary")
    assert [d["data"]["decisions_shot"] for d in decisions] == [
        s["data"]["pulser_shot"] for s in shots
    ]
    for decision, shot in zip(decisions, shots, strict=True):
        assert decision["time"] < shot["time"]
        proposal = Pulse.model_validate(json.loads(decision["data"]["decisions_proposal"]))
        assert proposal.amplitude_T == shot["data"]["pulser_amplitude_T"]
        assert decision["data"]["decisions_guard_answer"] == "allowed"


def test_a_decision_never_asks_the_sample(engine, beamline, monkeypatch):
    def forbidden(*_):
        raise AssertionError("the simulator's truth was read")

    monkeypatch.setattr(beamline.sample, "spins", forbidden)
    monkeypatch.setattr(beamline.sample, "charge", forbidden)
    report = engine(cycle(beamline)).plan_result
    assert [task.reached for task in report.tasks] == [True] * 3


@pytest.mark.parametrize(
    ("envelope", "reason", "pulses"),
    [
        (Envelope(shots=1), "shot budget of 1", 1),
        (Envelope(shots=0), "shot budget of 0", 0),
        (Envelope(slew_T=0.1), "a step above 0.1 T", 1),
    ],
)
def test_a_guard_that_forbids_it_ends_the_task_with_a_reason(
    engine, tmp_path, documents, envelope, reason, pulses, weak
):
    with simulated_beamline(tmp_path, envelope=envelope) as beamline:
        report = engine(write(beamline, memory=weak)).plan_result
        assert not report.reached
        assert reason in report.reason
        assert report.pulses == pulses == beamline.pulser.guard.shots_fired
    last = documents.events("decisions")[-1]["data"]
    assert reason in last["decisions_guard_answer"]
    assert documents.named("stop")[0]["exit_status"] == "success"


def test_an_envelope_that_leaves_nothing_ends_the_task_before_anything_is_proposed(
    engine, tmp_path, documents
):
    with simulated_beamline(tmp_path, envelope=Envelope(dose_T2ps=1.0)) as beamline:
        report = engine(write(beamline)).plan_result
        assert beamline.pulser.refused.get() == 0
    assert "the envelope leaves nothing" in report.reason
    assert (report.reached, report.gave_up, report.proposed) == (False, True, [])
    assert documents.events("decisions") == []


def test_a_plan_s_own_budget_ends_the_task(engine, beamline, fired, weak):
    report = engine(write(beamline, shots=1, memory=weak)).plan_result
    assert not report.reached
    assert "not reached within 1 shots" in report.reason
    assert len(fired) == 1


def test_a_cycle_ends_after_as_many_failures_as_it_may_have(engine, beamline, weak):
    report = engine(cycle(beamline, cycles=5, failures=1, shots=1, memory=weak)).plan_result
    assert [(task.task, task.reached) for task in report.tasks] == [("write", False)]
    assert "not reached within 1 shots" in report.reason


def test_an_unattended_cycle_goes_on_after_a_failure_and_lets_go_what_led_there(
    engine, tmp_path, weak
):
    told = []
    with simulated_beamline(tmp_path, parameters=FilmParameters(rows=30, columns=30)) as line:
        line.camera.duration_ps.put(20.0)
        plan = cycle(line, cycles=5, failures=2, shots=1, memory=weak, on_change=told.append)
        report = engine(plan).plan_result
        attended = Oversight("approve-each", lambda request: Answer(True, "Ada"))
        asked = engine(cycle(line, cycles=5, shots=1, oversight=attended)).plan_result
    assert [len(tasks) for tasks in report.done] == [1, 1]
    assert not report.reached
    assert [number for number, _ in report.changes] == [1]
    assert told == ["write failed (" + report.tasks[0].reason + "); what was learned is let go"]
    assert weak.as_json()["switching"] == PulseMemory().as_json()["switching"]
    first, second = (task.proposed[0] for task in report.tasks)
    assert first != second  # 4 T of the memory it was given, then its own first guess
    assert len(asked.done) == 1  # somebody is there: a failure is theirs to judge
    told_json = report.as_json()
    assert told_json["done"] == 2
    assert told_json["success"] == 0
    assert told_json["tasks"]["write"]["pulses"] == 2


def test_a_cycle_says_when_the_sample_changed(engine, tmp_path, monkeypatch):
    changes = iter(["", "the sample changed"])
    monkeypatch.setattr(skyctl.plans.plans.DriftWatch, "check", lambda self: next(changes, ""))
    with simulated_beamline(tmp_path) as line:
        report = engine(cycle(line, cycles=3)).plan_result
    assert report.reached
    assert report.changes == [(2, "the sample changed")]
    assert [row["done"] for row in report.as_json()["over_time"]] == [3]


def test_a_pulse_that_the_driver_refuses_is_tried_again(engine, beamline, monkeypatch, documents):
    send, refused = beamline.sample.fire, []

    def fire(shot, pulse):
        if not refused:
            refused.append(shot)
            raise PulseRefused("power supply: interlocked", "driver")
        send(shot, pulse)

    monkeypatch.setattr(beamline.sample, "fire", fire)
    report = engine(write(beamline)).plan_result
    assert report.reached
    assert "power supply" in report.shots[0].problem
    assert report.pulses == documents.counts()["primary"] == len(report.shots) - 1
    assert beamline.pulser.armed.get() == 0


def test_a_pulse_that_is_refused_twice_in_a_row_ends_the_task(engine, beamline, fired):
    asked = []

    def closing():  # open whenever somebody looks, shut whenever something is to be fired
        asked.append(True)
        return "" if len(asked) % 2 else "the shutter is closed"

    beamline.pulser.add_interlock(closing)
    report = engine(write(beamline)).plan_result
    assert "the shutter is closed" in report.reason
    assert len(report.shots) == 2
    assert fired == []


def in_a_run(beamline, body):
    """A user's own plan round the stubs of skyctl."""
    result = []

    @bpp.stage_decorator([beamline.camera, beamline.classifier, beamline.pulser])
    @bpp.run_decorator()
    def run():
        yield from stubs.declare_frames(beamline.camera)
        yield from stubs.look(beamline)
        result.append((yield from body()))

    yield from run()
    return result[0]


def test_one_pulse_right_after_another_waits_for_the_rest(engine, tmp_path):
    film, envelope = FilmParameters(rows=20, columns=20), Envelope(rest_s=0.5)
    with simulated_beamline(tmp_path, parameters=film, envelope=envelope) as beamline:

        def body():
            one = yield from fire(beamline, NUDGE)
            two = yield from fire(beamline, NUDGE)
            return one, two

        one, two = engine(in_a_run(beamline, body)).plan_result
        assert one != two
        assert beamline.pulser.guard.has_fired(one)
        assert beamline.pulser.guard.has_fired(two)


def test_a_run_keeps_nothing_of_a_shot_that_is_over(engine, tmp_path):
    """In a long run the memory would grow: the engine keeps what is never waited for."""

    def kept(beamline):
        yield from stubs.shoot(beamline, NUDGE)
        yield from stubs.look(beamline)
        return sum(map(len, engine._groups.values())), len(engine._objs_seen)

    with simulated_beamline(tmp_path, parameters=FilmParameters(rows=20, columns=20)) as beamline:

        def body():
            yield from stubs.look(beamline)
            first = yield from kept(beamline)
            return first, (yield from kept(beamline))

        first, second = engine(in_a_run(beamline, body)).plan_result
    assert first == second == (0, first[1])


def test_fire_without_a_look_is_held(engine, beamline, fired):
    with pytest.raises(PulseRefused, match="no recording is open"):
        engine(fire(beamline, NUDGE))
    assert fired == []


def test_a_lost_frame_holds_fire_and_the_report_says_so(
    engine, beamline, fired, monkeypatch, documents, weak
):
    beamline.camera.ends_early.put(0)
    send = beamline.publisher.frame
    monkeypatch.setattr(beamline.publisher, "frame", lambda frame: frame.index == 7 or send(frame))
    report = engine(write(beamline, memory=weak)).plan_result
    assert not report.reached
    assert report.reason == "held fire: 1 of 34 frames missing"
    assert len(fired) == 2
    assert [e["data"]["camera_missing"] for e in documents.events("primary")] == [1, 1]
    documents.assert_all_frames_documented_once(1 + 2 * (MOVIE - 1 + 1))


def test_an_agent_learns_nothing_of_a_movie_with_a_gap_and_goes_on(
    engine, beamline, monkeypatch, documents, weak
):
    send, lost = beamline.publisher.frame, []

    def lose_one(frame):
        if frame.index == 7 and not lost:
            lost.append(frame.shot)
        else:
            send(frame)

    monkeypatch.setattr(beamline.publisher, "frame", lose_one)
    report = engine(write(beamline, memory=weak)).plan_result
    assert report.reached
    one, two = (d["data"]["decisions_proposal"] for d in documents.events("decisions")[:2])
    assert one == two


def test_a_look_that_cannot_be_seen_fires_nothing(engine, beamline, fired, monkeypatch, documents):
    monkeypatch.setattr(beamline.publisher, "frame", lambda frame: None)
    monkeypatch.setattr(campaign, "BETWEEN_LOOKS_S", 0.0)
    report = engine(write(beamline)).plan_result
    assert not report.reached
    assert "1 of 1 frames missing" in report.reason
    assert fired == []
    assert documents.counts()["looks"] == LOOKS_AT_MOST


def test_check_limits_and_summaries_fire_nothing(engine, beamline, fired, capsys):
    assert engine.state == "idle"  # its loop is what check_limits runs in
    check_limits(classify_shot(beamline, NUDGE))
    check_limits(fire(beamline, NUDGE))
    with pytest.raises(PulseRefused, match="amplitude_T"):
        check_limits(classify_shot(beamline, Pulse(amplitude_T=5.0, width_ps=10)))
    with pytest.raises(PulseRefused, match="width_ps"):
        check_limits(fire(beamline, Pulse(width_ps=500)))
    summarize_plan(classify_shot(beamline, NUDGE))
    assert "pulser" in capsys.readouterr().out
    assert fired == []


@pytest.mark.parametrize("name", [n for n in skyctl.plans.__all__ if n != "TaskReport"])
def test_plans_are_generators_that_a_queue_server_can_offer(name):
    plan = getattr(skyctl.plans, name)
    assert inspect.isgeneratorfunction(plan)
    assert inspect.getdoc(plan)
    parameters = inspect.signature(plan).parameters.values()
    hints = typing.get_type_hints(plan)
    for parameter in parameters:
        assert not isinstance(parameter.annotation, str), "annotations must not be postponed"
        assert parameter.name in hints
        if parameter.default is not parameter.empty:
            assert isinstance(parameter.default, int | float | str | tuple | None)
    if name != "fire":
        assert all(parameter.name in inspect.getdoc(plan) for parameter in parameters)


@pytest.mark.filterwarnings("ignore:Tiled server does not support remote validation:UserWarning")
def test_a_run_in_tiled_is_valid_and_has_the_frames(engine, beamline, tmp_path):
    catalog, frames = str(tmp_path / "catalog"), [str(tmp_path)]
    server = SimpleTiledServer(directory=catalog, readable_storage=frames)
    client = from_uri(server.uri)
    try:
        engine.subscribe(TiledWriter(client))
        result = engine(cycle(beamline))
        pulses = sum(result.plan_result.pulses)
        frames = result.plan_result.as_json()["frames"]
        run = client[result.run_start_uids[0]]
        run.validate(raise_on_error=True, fix_errors=False)
        assert run["frames"]["camera_frames"].shape == (frames, 100, 100)
        exposed = [run[s]["camera_frames_exposed"].read().sum() for s in ("primary", "looks")]
        assert sum(exposed) == frames
        assert exposed[0] < pulses * MOVIE
        assert len(run["primary"]["classifier_label"].read()) == pulses
        with Recording(beamline.camera.recording) as recording:
            first = next(iter(next(recording.shots())[1])).data
        assert (run["frames"]["camera_frames"][0] == first).all()
    finally:
        client.context.close()
        server.close()


@pytest.mark.parametrize(
    "plan",
    [
        lambda line: classify_shot(Pulse(width_ps=4.0), line),
        lambda line: write(line.pulser),
        lambda line: cycle(line.camera),
    ],
)
def test_what_is_no_beamline_is_named_before_anything_is_staged(plan, engine, documents, beamline):
    with pytest.raises(TypeError, match=r"(Pulse|Pulser|FilmCamera) in the place of a beamline"):
        engine(plan(beamline))
    assert not documents.items

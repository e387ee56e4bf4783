"""Modes: what is fired in each, who was asked, and that no answer is no."""

import math
import sys
import threading

import pytest
from bluesky import RunEngine
from bluesky.plan_stubs import pause
from bluesky.utils import RunEngineInterrupted
from ophyd.utils import LimitError

from skyctl.beamline import simulated_beamline
from skyctl.errors import PulseRefused
from skyctl.plans import classify_shot, write
from skyctl.plans.modes import Answer, ApprovalDesk, Cover, Oversight, Permission, dry_run
from skyctl.plans.threads import in_thread
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.lattice.film import FilmParameters

NUDGE = Pulse(amplitude_T=2.0, width_ps=4.0)


@pytest.fixture
def beamline(tmp_path):
    """A small film: what matters here is who is asked."""
    with simulated_beamline(tmp_path, parameters=FilmParameters(rows=30, columns=30)) as line:
        line.camera.duration_ps.put(20.0)
        yield line


def yes(request):
    return Answer(True, "Ada")


def decided(documents):
    return [event["data"] for event in documents.events("decisions")]


def test_autonomous_fires_without_asking(engine, beamline, documents, fired):
    engine(write(beamline, shots=2))
    assert len(fired) == 2
    assert {d["decisions_approver"] for d in decided(documents)} == {"autonomous"}
    assert {d["decisions_mode"] for d in decided(documents)} == {"autonomous"}


def test_a_dry_run_tells_one_pulse_and_fires_nothing(engine, beamline, documents, fired):
    report = engine(write(beamline, shots=5, oversight=Oversight("dry-run"))).plan_result
    (decision,) = decided(documents)
    assert decision["decisions_guard_answer"] == "allowed"
    assert decision["decisions_approved"] == 0
    (pulse,) = report.proposed
    assert report.proposed_dose_T2ps == pulse.dose_T2ps > 0
    assert Pulse.model_validate_json(decision["decisions_proposal"]) == pulse
    assert "dry-run" in report.reason
    assert fired == []


def test_a_shadow_proposes_after_each_look_and_fires_nothing(engine, beamline, documents, fired):
    report = engine(write(beamline, shots=3, oversight=Oversight("shadow"))).plan_result
    assert len(decided(documents)) == len(report.proposed) == 3
    assert documents.counts()["looks"] == 4
    assert fired == []


def test_each_pulse_is_asked_for(engine, beamline, documents, fired):
    asked = []

    def approve(request):
        assert len(fired) == len(asked)  # asked before it fires
        asked.append(request)
        return yes(request)

    engine(write(beamline, shots=3, oversight=Oversight("approve-each", approve)))
    assert [request.shot for request in asked] == fired
    assert len(asked) >= 2
    assert {request.shots for request in asked} == {1}
    assert {d["decisions_approver"] for d in decided(documents)} == {"Ada"}
    assert str(asked[0]).startswith("write: fire ")


LOCAL = Pulse(amplitude_T=8, width_ps=20, spot=Spot(x=15, y=15, sigma=4))
INSIDE = LOCAL.model_copy(update={"amplitude_T": 6.0})


def asked_in_turn(pulses, shown=(), batch=3, approve=yes):
    """The pulses that an approver of batches is asked about, of those proposed one by one."""
    asked = []
    permission = Permission(
        Oversight("approve-batch", lambda r: (asked.append(r), approve(r))[1], batch=batch)
    )

    def plan():
        for number, pulse in enumerate(pulses):
            candidates = tuple((each, 0.5) for each in shown)
            request = permission.request("t", "a", f"s{number}", pulse, "r", "f", candidates)
            yield from permission.ask(request)

    RunEngine({})(plan())
    return asked


def test_one_yes_is_good_for_a_batch():
    asked = asked_in_turn([LOCAL, INSIDE, INSIDE, INSIDE])
    assert [request.shot for request in asked] == ["s0", "s3"]
    assert asked[0].shots == 3


def test_a_batch_in_a_plan_fires_what_was_asked_for(engine, beamline, documents, fired):
    asked = []
    oversight = Oversight("approve-batch", lambda r: (asked.append(r), yes(r))[1], batch=2)
    engine(write(beamline, shots=3, oversight=oversight))
    assert len(fired) >= 2
    assert asked[0].shot == fired[0]
    assert {request.shot for request in asked} <= set(fired)
    assert [d["decisions_approver"] for d in decided(documents)] == ["Ada"] * len(fired)


@pytest.mark.parametrize(
    "wider",
    [
        {"amplitude_T": 8.1},
        {"width_ps": 20.1},
        {"theta_deg": 41.0},
        {"phi_deg": -1.0},
        {"peak_ps": 39.0},
        {"spot": Spot(x=16, y=15, sigma=4)},
        {"spot": Spot(x=15, y=14, sigma=4)},
        {"spot": Spot(x=15, y=15, sigma=4.1)},
        {"spot": None, "amplitude_T": 1.0},
    ],
)
def test_a_yes_for_a_batch_covers_nothing_wider_than_was_shown(wider):
    second = LOCAL.model_copy(update=wider)
    assert [r.pulse for r in asked_in_turn([LOCAL, second])] == [LOCAL, second]
    assert [r.pulse for r in asked_in_turn([LOCAL, second], shown=[second])] == [LOCAL]


def test_a_batch_says_what_it_covers():
    (request,) = asked_in_turn([LOCAL], shown=[LOCAL.model_copy(update={"theta_deg": 50.0})])
    assert (
        "and up to 2 more without asking, each at most 8 T, 20 ps and 2269 T²ps, on a spot, "
        "theta_deg 40 … 50, phi_deg 0, peak_ps 40, spot_x 15, spot_y 15"
    ) in str(request)
    assert "on the whole film" in str(Cover.of([LOCAL, NUDGE]))
    assert math.isinf(Cover.of([NUDGE]).highest["spot_sigma"])
    assert not Cover.of([NUDGE]).holds(NUDGE.model_copy(update={"spot": LOCAL.spot}))


def test_candidates_that_are_not_shown_are_not_covered():
    others = [LOCAL.model_copy(update={"amplitude_T": 8.0 + n}) for n in range(1, 8)]
    (request,) = asked_in_turn([LOCAL], shown=others)
    assert request.shown == (LOCAL, *others[:5])
    assert request.cover.highest["amplitude_T"] == 13.0


def test_a_pulse_changed_while_it_is_asked_for_is_not_approved():
    def changing(request):
        vars(request.pulse)["amplitude_T"] = 9.0
        return yes(request)

    permission = Permission(Oversight("approve-each", changing))
    request = permission.request("t", "a", "s", LOCAL, "r", "f")
    answer = run(permission.ask(request))
    assert not answer.approved
    assert "was changed" in answer.comment
    assert LOCAL.amplitude_T == 8


@pytest.mark.parametrize("approved", ["no", "false", 1, 0, None, [True]])
def test_an_answer_is_exactly_yes_or_no(approved):
    with pytest.raises(ValueError, match="give True or False itself"):
        Answer(approved, "Ada")


@pytest.mark.parametrize("who", ["", " ", "\t", "Ada ", "A\nB", "-", "\u200b"])
def test_a_yes_has_a_real_name(who):
    with pytest.raises(ValueError, match="without a name"):
        Answer(True, who)
    for who in (True, None):
        with pytest.raises(ValueError, match="a str each"):
            Answer(True, who)


class Obliging(Answer):
    """An answer of another kind."""


def tampered(answer):
    object.__setattr__(answer, "approved", True)
    return answer


def broken(request):
    raise OSError("the terminal is gone")


@pytest.mark.parametrize(
    ("approver", "said"),
    [
        (lambda request: Answer(False, "Ada", "too strong"), "not approved by Ada: too strong"),
        (lambda request: threading.Event().wait(), "not approved: no answer within 0.05 s"),
        (broken, "the terminal is gone"),
        (lambda request: True, "True is no Answer"),
        (lambda request: Answer(True, ""), "without a name"),
        (lambda request: Answer(True, " "), "without a name"),
        (lambda request: Answer("false", "Ada"), "give True or False itself"),
        (lambda request: sys.exit(1), "SystemExit"),
        (lambda request: Obliging(True, "Ada"), "is no Answer"),
        (lambda request: tampered(Answer(False, "")), "without a name"),
    ],
    ids=[
        "no",
        "silence",
        "error",
        "a bare yes",
        "nobody's yes",
        "a blank's yes",
        "a word",
        "an exit",
        "a subclass",
        "a changed answer",
    ],
)
@pytest.mark.parametrize("mode", ["approve-each", "approve-batch"])
def test_nothing_is_fired_without_a_yes(engine, beamline, documents, fired, mode, approver, said):
    patience_s = 0.05 if "no answer" in said else 30.0
    oversight = Oversight(mode, approver, timeout_s=patience_s)
    report = engine(write(beamline, oversight=oversight)).plan_result
    assert fired == []
    assert said in report.reason
    (decision,) = decided(documents)
    assert said in decision["decisions_approval"]
    assert decision["decisions_approved"] == 0
    assert documents.named("stop")[0]["exit_status"] == "success"


def test_the_guard_is_asked_again_after_a_yes_that_took_long(engine, beamline, fired):
    closed = []
    beamline.pulser.add_interlock(lambda: "the shutter is closed" if closed else "")

    def slow(request):
        closed.append(True)
        return yes(request)

    report = engine(write(beamline, oversight=Oversight("approve-each", slow))).plan_result
    assert "the shutter is closed" in report.reason
    assert fired == []


def test_a_pause_while_somebody_is_asked_asks_once_and_fires_once(engine, beamline, fired):
    asked, paused = [], threading.Event()

    def approve(request):
        asked.append(request)
        engine.request_pause()
        assert paused.wait(30)
        return yes(request)

    with pytest.raises(RunEngineInterrupted):
        engine(write(beamline, shots=1, oversight=Oversight("approve-each", approve)))
    assert fired == []
    paused.set()
    engine.resume()
    assert len(asked) == len(fired) == 1


def test_an_abort_while_somebody_is_asked_fires_nothing(engine, beamline, fired):
    aborted = threading.Event()

    def approve(request):
        engine.request_pause()
        assert aborted.wait(30)
        return yes(request)

    with pytest.raises(RunEngineInterrupted):
        engine(write(beamline, oversight=Oversight("approve-each", approve)))
    engine.abort()
    aborted.set()
    assert fired == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "yolo"}, "choose one of dry-run"),
        ({"mode": "approve-each"}, "nobody can be asked"),
        ({"batch": 0}, "batch 0"),
        ({"timeout_s": float("nan")}, "timeout nan"),
    ],
)
def test_an_oversight_that_cannot_work_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Oversight(**wrong)


def test_a_desk_takes_the_answer_for_what_is_asked_now_only(engine, beamline, fired):
    desk = ApprovalDesk()
    with pytest.raises(LookupError, match="no answer is waited for"):
        desk.answer("a", Answer(True, "Ada"))
    thread = threading.Thread(target=answer_wrongly_then_rightly, args=(desk,))
    thread.start()
    report = engine(write(beamline, shots=1, oversight=Oversight("approve-each", desk))).plan_result
    thread.join()
    assert (report.pulses, len(fired)) == (1, 1)
    assert desk.pending is None
    silent = Oversight("approve-each", desk, timeout_s=0.05)
    report = engine(write(beamline, oversight=silent)).plan_result
    assert "no answer within" in report.reason
    assert len(fired) == 1


def answer_wrongly_then_rightly(desk):
    tick = threading.Event()
    while desk.pending is None:
        tick.wait(0.01)
    with pytest.raises(LookupError, match="shot another"):
        desk.answer("another", Answer(True, "Ada"))
    desk.answer(desk.pending.shot, Answer(True, "Ada"))


def test_a_dry_run_of_a_settled_plan_tells_pulses_and_dose(engine, beamline, fired):
    found = dry_run(classify_shot(beamline, NUDGE))
    assert found.pulses == (NUDGE,)
    assert found.dose_T2ps == NUDGE.dose_T2ps
    with pytest.raises((PulseRefused, LimitError), match="width_ps"):
        dry_run(classify_shot(beamline, Pulse(width_ps=500)))
    assert fired == []


def test_a_task_can_be_walked_through_without_an_engine_run(engine, beamline, fired):
    assert dry_run(write(beamline)).pulses == ()  # it sees no film, so it knows no pulse
    assert fired == []


def run(plan):
    return RunEngine({}, call_returns_result=True)(plan).plan_result


def test_a_call_in_a_thread_leaves_the_engine_s_loop_alone():
    engine = RunEngine({}, call_returns_result=True)
    alive = threading.Event()

    def call():
        engine.loop.call_soon_threadsafe(alive.set)
        return alive.wait(30)  # hangs where the call holds up the loop

    assert engine(in_thread(call)).plan_result == (True, True)


def test_a_call_s_error_is_the_plan_s():
    with pytest.raises(ZeroDivisionError):
        run(in_thread(lambda: 1 / 0))


def test_a_call_that_ends_its_thread_is_an_error_of_the_plan():
    with pytest.raises(RuntimeError, match="SystemExit"):
        run(in_thread(lambda: sys.exit(1)))


def test_a_call_replayed_after_a_pause_is_made_once():
    engine = RunEngine({}, call_returns_result=True)
    calls = []

    def plan():
        yield from in_thread(lambda: calls.append("first"))
        yield from pause()
        return (yield from in_thread(lambda: "second"))

    with pytest.raises(RunEngineInterrupted):
        engine(plan())
    assert engine.resume().plan_result == ("second", True)
    assert calls == ["first"]

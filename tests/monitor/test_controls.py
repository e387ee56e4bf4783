"""What a person may do from the page, when it is refused, and what stands in the log."""

import json
import threading
import time

import pytest

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import MonitorError, PulseRefused
from skyctl.monitor.action_log import ActionLog
from skyctl.monitor.controls import FRESH_S, SETTLE_S, Controls, Refused
from skyctl.monitor.people import Person
from skyctl.plans.modes import Answer, ApprovalDesk, Request
from skyctl.pulse import Pulse

ADA, EVE, GRACE = Person("Ada", "operator"), Person("Eve", "operator"), Person("Grace", "viewer")
PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)


class Driver:
    def __init__(self):
        self.fired = []

    def fire(self, shot, pulse):
        self.fired.append(shot)


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def pulser(driver):
    return Pulser(name="pulser", driver=driver, guard=Guard(Envelope(rest_s=0)))


@pytest.fixture
def desk():
    return ApprovalDesk()


@pytest.fixture
def log(tmp_path):
    made = ActionLog(tmp_path / "monitor.jsonl")
    yield made
    made.close()


@pytest.fixture
def late():
    """By how much the controls' clock is ahead, s."""
    return [SETTLE_S + 0.01]


@pytest.fixture
def controls(pulser, desk, log, late):
    made = Controls(pulser, desk, log, clock=lambda: time.monotonic() + late[0])
    made.now = lambda: time.monotonic() + late[0]
    return made


@pytest.fixture
def ask(desk):
    """Asks for a shot in a thread; the list that the answer will be in, and how to wait for it."""
    threads = []

    def asking(shot, timeout_s=20.0):
        answers, asked = [], threading.Event()
        heard = lambda now: asked.set()  # noqa: E731
        desk.subscribe(heard)
        request = Request("write", "agent", shot, PULSE, "why", "empty", 1, timeout_s)
        thread = threading.Thread(target=lambda: answers.append(desk(request)))
        thread.start()
        threads.append(thread)
        assert asked.wait(10)
        desk.unsubscribe(heard)
        return answers, thread

    yield asking
    while desk.pending:
        desk.answer(desk.pending.shot, Answer(False, ""))
    for thread in threads:
        thread.join()


def lines(log):
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def refused(status, call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status
    return str(caught.value)


def test_a_stop_disarms_and_holds_until_that_stop_is_released(controls, pulser, driver):
    pulser.set(PULSE, shot="a")
    stopped = controls.stop(GRACE)
    assert pulser.armed.get() == 0
    for call in (pulser.trigger, lambda: pulser.set(PULSE, shot="b")):
        with pytest.raises(PulseRefused):
            call()
    pulser.hold("Ctrl-C")
    pulser.release()  # of a hold of its own; the latch stays
    assert "stopped by Grace" in pulser.hold_reason()
    again = controls.stop(EVE)
    refused(409, controls.release, ADA, stopped.number, controls.now())
    refused(403, controls.release, GRACE, again.number, controls.now())
    assert controls.stopped == again
    controls.release(ADA, again.number, controls.now())
    assert pulser.hold_reason() == ""
    assert pulser.armed.get() == 0
    assert driver.fired == []
    refused(409, controls.release, ADA, again.number, controls.now())


def test_a_stop_meets_a_pulse_that_is_being_written_down(controls, pulser, driver, monkeypatch):
    pulser.set(PULSE, shot="a")
    book = pulser.guard.book

    def slow(*booked):
        book(*booked)
        controls.stop(ADA)

    monkeypatch.setattr(pulser.guard, "book", slow)
    with pytest.raises(PulseRefused, match="disarmed while"):
        pulser.trigger()
    assert driver.fired == []


def test_a_stop_outlives_the_page_and_the_process(controls, pulser, desk, log, tmp_path, driver):
    controls.note_stop(controls.stop(ADA))
    assert Controls(pulser, desk, log).stopped == controls.stopped
    assert sum("stopped by" in why for _, why in pulser.hold_reasons()) == 1
    log_again = ActionLog(log.path)
    started_again = Pulser(name="pulser", driver=driver)
    after = Controls(started_again, desk, log_again)
    assert "stopped by Ada" in started_again.hold_reason()
    after.release(EVE, after.stopped.number, time.monotonic())
    log_again.close()
    log_later = ActionLog(log.path)
    later = Pulser(name="pulser", driver=driver)
    assert Controls(later, desk, log_later).stop(ADA).number == 2
    log_later.close()


def test_a_yes_is_signed_with_the_name_of_the_token(controls, desk, ask, log):
    answers, thread = ask("a")
    controls.answer(ADA, "a", approved=True, comment="go", seen_s=controls.now())
    thread.join()
    assert [(one.approved, one.approver, one.comment) for one in answers] == [(True, "Ada", "go")]
    (line,) = lines(log)
    assert (line["action"], line["who"], line["shot"]) == ("approve", "Ada", "a")


def test_of_two_operators_the_first_one_answers(controls, ask, log):
    answers, thread = ask("a")
    controls.answer(EVE, "a", approved=False, comment="", seen_s=controls.now())
    thread.join()
    why = refused(409, controls.answer, ADA, "a", approved=True, comment="", seen_s=controls.now())
    assert "too late" in why
    assert [one.approved for one in answers] == [False]
    assert [line["action"] for line in lines(log)] == ["deny"]


def test_an_answer_is_for_the_shot_it_names(controls, desk, ask):
    ask("b")
    for shot in ("a", "", "B"):
        refused(409, controls.answer, ADA, shot, approved=True, comment="", seen_s=controls.now())
    assert desk.pending.shot == "b"


def test_an_answer_right_after_a_change_is_refused(controls, desk, ask, late):
    late[0] = 0.0
    ask("a")
    for approved in (True, False):
        why = refused(
            409, controls.answer, ADA, "a", approved=approved, comment="", seen_s=controls.now()
        )
        assert "changed" in why
    late[0] = SETTLE_S
    controls.answer(ADA, "a", approved=True, comment="", seen_s=controls.now())
    assert desk.pending is None


@pytest.mark.parametrize("age_s", [FRESH_S + 0.1, 1e9, -0.1, float("nan"), float("inf")])
def test_an_answer_to_an_old_page_is_refused(controls, desk, ask, age_s):
    ask("a")
    seen_s = controls.now() - age_s
    refused(409, controls.answer, ADA, "a", approved=True, comment="", seen_s=seen_s)
    controls.stop(ADA)
    refused(409, controls.release, ADA, 1, seen_s)
    assert desk.pending is not None
    assert controls.stopped


def test_a_viewer_answers_nothing(controls, desk, ask):
    ask("a")
    for approved in (True, False):
        refused(
            403, controls.answer, GRACE, "a", approved=approved, comment="", seen_s=controls.now()
        )
    assert desk.pending is not None


def test_nobody_approves_what_is_stopped(controls, desk, ask):
    answers, thread = ask("a")
    controls.stop(GRACE)
    refused(409, controls.answer, ADA, "a", approved=True, comment="", seen_s=controls.now())
    controls.answer(ADA, "a", approved=False, comment="", seen_s=controls.now())
    thread.join()
    assert [one.approved for one in answers] == [False]


def test_what_cannot_be_written_down_is_not_done_and_a_stop_is(controls, desk, ask, monkeypatch):
    ask("a")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(controls.log, "append", full)
    refused(507, controls.answer, ADA, "a", approved=True, comment="", seen_s=controls.now())
    assert desk.pending is not None
    stopped = controls.stop(ADA)
    refused(507, controls.note_stop, stopped)
    refused(507, controls.release, ADA, stopped.number, controls.now())
    assert controls.stopped == stopped


def test_a_log_that_is_no_log_serves_nobody(tmp_path):
    path = tmp_path / "monitor.jsonl"
    for content in ("x\n", '{"action": "stop"', '{"action": "release"}\n', "[]\n"):
        path.write_text(content)
        with pytest.raises(MonitorError, match="who stopped"):
            ActionLog(path)


def test_the_desk_tells_that_it_asks_and_since_when(desk, ask):
    heard = []
    desk.subscribe(lambda asked: 1 / 0)  # one that fails keeps nobody from asking
    desk.subscribe(heard.append)
    answers, thread = ask("a", timeout_s=0.05)
    thread.join()
    assert desk.asked is None
    asked, over = heard
    assert asked.request.shot == "a"
    assert asked.since_s > 0
    assert over is None
    assert not answers[0].approved

"""Ctrl-C, SIGTERM and a closed terminal: held at once, whatever the main thread waits for."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted, TransitionError

from skyctl.bench.interrupts import interrupt
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.interrupts import DisarmOnSignal, run_engine
from skyctl.plans.stubs import fire
from skyctl.pulse import Pulse

PULSE = Pulse(width_ps=5.0)


class Engine:
    """Notes that it is to pause, and refuses as often as it is told to."""

    def __init__(self, done, refuses=0):
        self.done, self.refuses, self.paused = done, refuses, threading.Event()

    def request_pause(self):
        if self.refuses:
            self.refuses -= 1
            raise TransitionError("not now")
        self.done.append("pause")
        self.paused.set()


class Held:
    """Notes what a pulser is told."""

    def __init__(self, done):
        self.done = done

    def hold(self, reason):
        self.done.append(f"hold: {reason}")

    def release(self):
        self.done.append("release")


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "terminal closed")],
)
def test_a_signal_holds_before_anything_else(number, reason, monkeypatch):
    monkeypatch.setattr("skyctl.interrupts._print_nowhere", lambda: None)
    ignored = signal.getsignal(number) is signal.SIG_IGN  # a hang-up, under `nohup`: so it stays
    if ignored:
        signal.signal(number, signal.SIG_DFL)
    done, before = [], [signal.getsignal(each) for each in (number, signal.SIGINT)]
    engine = Engine(done, refuses=2)
    with DisarmOnSignal(engine, Held(done)):
        os.kill(os.getpid(), number)
        assert engine.paused.wait(30)
    assert done == [f"hold: {reason}", "pause", "release"]
    assert [signal.getsignal(each) for each in (number, signal.SIGINT)] == before
    if ignored:
        signal.signal(number, signal.SIG_IGN)


def test_an_engine_of_ours_disarms_and_has_not_blueskys_handler():
    engine = run_engine(SimpleNamespace(pulser=Held([])), call_returns_result=True)
    (manager,) = engine.context_managers
    assert isinstance(manager(engine), DisarmOnSignal)


def test_the_main_thread_need_not_wake():
    """The kernel may give a signal to any thread; this one gets it, the main thread sleeps on."""
    done = []
    engine = Engine(done)

    def send():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        held.append(engine.paused.wait(30))
        over.set()

    held, over = [], threading.Event()
    with DisarmOnSignal(engine, Held(done)):
        threading.Thread(target=send).start()
        over.wait()  # without a time-out, as the RunEngine waits
    assert held == [True]
    assert done[0] == "hold: Ctrl-C"


def test_a_signal_that_no_pause_answered_is_a_keyboard_interrupt():
    done = []
    with pytest.raises(KeyboardInterrupt), DisarmOnSignal(Engine(done, 10**9), Held(done)):
        os.kill(os.getpid(), signal.SIGINT)
    assert done == ["hold: Ctrl-C", "release"]


def test_a_second_signal_changes_nothing():
    done = []
    engine = Engine(done)
    with DisarmOnSignal(engine, Held(done)):
        os.kill(os.getpid(), signal.SIGINT)
        assert engine.paused.wait(30)
        engine.refuses = 10**9
        os.kill(os.getpid(), signal.SIGINT)
    assert done == ["hold: Ctrl-C", "pause", "hold: Ctrl-C", "release"]


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    done = []
    try:
        with DisarmOnSignal(Engine(done), Held(done)):
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done == ["release"]


def test_in_another_thread_it_does_nothing():
    done = []

    def enter():
        with DisarmOnSignal(Engine(done), Held(done)):
            done.append("inside")

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert done == ["inside"]


class Driver:
    """Interrupts its own process when it fires."""

    shots = 0

    def fire(self, _shot, _pulse):
        self.shots += 1
        os.kill(os.getpid(), signal.SIGINT)


def test_nothing_fires_between_the_signal_and_the_end_of_the_plan():
    driver = Driver()
    pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope(rest_s=0)))
    engine = RunEngine({}, context_managers=[lambda engine: DisarmOnSignal(engine, pulser)])
    held = threading.Event()
    hold = pulser.hold
    pulser.hold = lambda reason: (hold(reason), held.set())

    camera = SimpleNamespace(pulses_per_shot=1)
    line = SimpleNamespace(pulser=pulser, camera=camera, is_open=True)

    def plan():
        yield from fire(line, PULSE)
        assert held.wait(30)
        yield from fire(line, PULSE)

    with pytest.raises((RunEngineInterrupted, PulseRefused)):
        engine(plan())
    assert driver.shots == 1
    assert pulser.hold_reason() == ""  # released: who goes on, arms anew
    if not engine.state.is_idle:
        engine.abort()


def test_none_of_50_interrupts_is_lost():
    assert_none_lost(interrupt(50, threads=1))


@pytest.mark.attack
def test_none_of_500_interrupts_under_load_is_lost():
    assert_none_lost(interrupt(500, seed=1, processes=4))


def assert_none_lost(told):
    assert told["lost"] == 0
    assert told["fired_after"] == 0

"""Signals while the RunEngine runs: disarm at once, then end the run in order."""

import contextlib
import os
import signal
import socket
import stat
import threading
from types import FrameType
from typing import Any

_NAMES: dict[int, str] = {
    signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "terminal closed",
}  # fmt: skip
_LEFT = b"\0"
_BETWEEN_TRIES_S = 0.01


def run_engine(beamline: Any, **options: Any) -> Any:
    """A RunEngine for plans at a beamline: Ctrl-C, SIGTERM and a closed terminal disarm its pulser.

    options : as ``RunEngine`` has them. bluesky's own engine takes a Ctrl-C only when its main
    thread wakes, which on a busy machine was after all pulses were fired.
    """
    from bluesky import RunEngine

    return RunEngine(
        context_managers=[lambda engine: DisarmOnSignal(engine, beamline.pulser)], **options
    )


class DisarmOnSignal:
    """Ctrl-C, SIGTERM and a closed terminal hold the pulser at once, and pause the RunEngine.

    A context manager for ``RunEngine(context_managers=[lambda engine: DisarmOnSignal(engine,
    pulser)])``, in place of bluesky's own, which lets the plan go on to its next checkpoint. The
    engine then raises RunEngineInterrupted; ``engine.abort()`` ends the run with its stop document.

    Nothing of it waits for the main thread. Python runs signal handlers there, and while the main
    thread waits for the RunEngine it wakes for a signal only where the kernel gives the signal to
    that thread: it may give it to any other, and then the handler ran when the plan ended. So the
    C-level handler, which runs in whatever thread, writes to a socket that a thread here reads.

    A signal that no pause answered, because the plan had just ended, is a KeyboardInterrupt when
    the RunEngine is left. What is ignored when it begins (SIGHUP under nohup) stays ignored.
    """

    def __init__(self, engine: Any, pulser: Any) -> None:
        self._engine, self._pulser = engine, pulser
        self._left = threading.Event()
        self._told = self._paused = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._listening, self._telling = socket.socketpair()
        self._telling.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._telling.fileno(), warn_on_full_buffer=False)
        self._watcher = threading.Thread(target=self._watch, name="skyctl-signals", daemon=True)
        self._watcher.start()
        for number in _NAMES:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _do_nothing)

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._left.set()
        self._telling.send(_LEFT)
        self._watcher.join()
        self._telling.close()
        self._listening.close()
        self._pulser.release()
        if self._told and not self._paused and raised is None:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while (told := self._listening.recv(1)) != _LEFT:
            if reason := _NAMES.get(told[0]):
                self._pulser.hold(reason)
                if told[0] == signal.SIGHUP:
                    _print_nowhere()
                self._pause()

    def _pause(self) -> None:
        from bluesky.utils import TransitionError  # pyright: ignore[reportPrivateImportUsage]

        self._told = True
        while not (self._paused or self._left.is_set()):
            try:
                self._engine.request_pause()
            except TransitionError:  # it has not begun yet, or ends already
                self._left.wait(_BETWEEN_TRIES_S)
            else:
                self._paused = True


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """The handler in Python: without one there is none at C level either."""


def _print_nowhere() -> None:
    """Turn output to a terminal that is gone away: a failing print would keep a run from ending."""
    with open(os.devnull, "r+b") as nowhere:
        for descriptor in (0, 1, 2):
            with contextlib.suppress(OSError):
                if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                    os.dup2(nowhere.fileno(), descriptor)

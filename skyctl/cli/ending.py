"""How a command ends on Ctrl-C: in one line, within two seconds, with status 130 and no child."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from skyctl.children import kill_descendants

STATUS = 130
"""Exit status of a command that was interrupted: 128 and the number of SIGINT."""
_GRACE_S = 1.2
_begun = threading.Event()
_said = threading.Event()


def begin() -> None:
    """The command was interrupted: whatever it still does, it ends soon. From any thread."""
    if not _begun.is_set():
        _begun.set()
        threading.Thread(target=_end_late, name="skyctl-ending", daemon=True).start()


def say(line: str = "interrupted") -> None:
    """Print the one line, once."""
    if not _said.is_set():
        _said.set()
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - rich may be what is in the way


def leave() -> NoReturn:
    """End the process, which an interrupt ended in order: what libraries do when Python is taken
    down (EPICS, ONNX Runtime, a server's threads) is seconds during which nothing is told."""
    kill_descendants()
    say()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(STATUS)


def _end_late() -> None:
    threading.Event().wait(_GRACE_S)
    kill_descendants()
    say()
    os._exit(STATUS)  # not `leave`: the main thread may hold what that would flush


@contextlib.contextmanager
def on_interrupt() -> Iterator[None]:
    """Have Ctrl-C end what is done here.

    Python runs signal handlers in the main thread, between two of its own steps: one that waits for
    a thread or for compiled code wakes late, or never. So a thread reads of it from a socket.
    """
    listening, telling = socket.socketpair()
    telling.setblocking(False)
    before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        while told := listening.recv(1):
            if told[0] == signal.SIGINT:
                begin()

    threading.Thread(target=listen, name="skyctl-interrupt", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        telling.close()
        if _begun.is_set():
            kill_descendants()

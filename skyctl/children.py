"""Processes that a command starts, and how all of them end with it.

Ctrl-C in a terminal reaches every process of it. What to do about it only the command itself knows:
a child that dies of it leaves a traceback, one that is stopped does not end at all.
"""

import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any


class _Deaf(SpawnProcess):
    """A process to which Ctrl-C means nothing: it is born with the signal blocked."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        resource_tracker.ensure_running()  # which, when it starts, takes the block away again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)  # type: ignore[reportAttributeAccessIssue]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _DeafContext(SpawnContext):
    Process = _Deaf  # type: ignore[assignment]


CHILDREN = _DeafContext()
"""A multiprocessing context, as ``get_context("spawn")``."""


def kill_descendants() -> None:
    """End all processes that this one started, and those that they did, stopped ones too."""
    for process in _descendants(os.getpid()):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants(parent: int) -> Iterator[int]:
    """By what /proc says; nothing where there is none."""
    parents = dict(_parents())
    children = [process for process, its in parents.items() if its == parent]
    while children:
        yield (process := children.pop())
        children += [other for other, its in parents.items() if its == process]


def _parents() -> Iterator[tuple[int, int]]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:  # ended meanwhile
            continue
        # "pid (name) state parent": a name may hold anything
        yield int(status.parent.name), int(text.rpartition(")")[2].split()[1])

"""Slow calls in plans: the RunEngine's loop goes on meanwhile."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

import bluesky.plan_stubs as bps

from skyctl.plans.stubs import Plan

T = TypeVar("T")


PATIENCE_S = 0.005
"""How long the RunEngine's loop is held up for a call that is about to return: waiting for it as
the loop does costs as much time again."""


_QUICK_S = 0.001
_PROVEN = 3


class Asker(Generic[T]):
    """Asks an agent, again and again: in a thread, until it has answered quickly so many times in a
    row. Handing over to a thread and back costs more than a quick answer does, and a stream's
    threads go first. One slow answer, and it is asked in a thread again.

    slow : it may take its time, and is always asked in a thread
    """

    def __init__(self, slow: bool = False) -> None:
        self._slow, self._quick = slow, 0

    def ask(self, call: Callable[[], T], meanwhile: Callable[[], Plan[Any]]) -> Plan[T]:
        """What ``call`` returns; ``meanwhile`` : as `in_thread`."""
        if self._quick >= _PROVEN and not self._slow:
            return self._timed(call)
        answer, _ = yield from in_thread(
            partial(self._timed, call), patience_s=PATIENCE_S, meanwhile=meanwhile
        )
        return answer  # type: ignore[return-value]  # without a timeout there is one

    def _timed(self, call: Callable[[], T]) -> T:
        begun = time.perf_counter()
        answer = call()
        quick = time.perf_counter() - begun < _QUICK_S
        self._quick = self._quick + 1 if quick else 0
        return answer


def in_thread(
    call: Callable[[], T],
    timeout_s: float | None = None,
    patience_s: float = 0.0,
    meanwhile: Callable[[], Plan[Any]] | None = None,
) -> Plan[tuple[T | None, bool]]:
    """Call in a thread of its own and wait without holding up the RunEngine: (result, True).

    (None, False) when it did not return within ``timeout_s``; it is then left to itself, in a
    thread that keeps no process alive. One that returns within ``patience_s`` costs no turn of the
    RunEngine's loop, which waits for it; during a longer one the plan does ``meanwhile``. Called
    once, however often the RunEngine replays messages after a pause. Raises what the call raises; a
    SystemExit or its like, which would end the RunEngine's loop and not the process, as a
    RuntimeError.
    """
    outcome: list[T] = []
    raised: list[BaseException] = []
    over: Future[None] = Future()

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - raised in the plan
            raised.append(error)
        over.set_result(None)

    threading.Thread(target=run, name="skyctl-plan", daemon=True).start()
    try:
        over.result(patience_s)
    except TimeoutError:
        if meanwhile:
            yield from meanwhile()
        try:
            # A pause cancels the wait, not the call; what is replayed waits for the same call.
            yield from bps.wait_for(
                [lambda: asyncio.shield(asyncio.wrap_future(over))], timeout=timeout_s
            )
        except TimeoutError:
            return None, False
    if not over.done():  # nobody runs the plan's messages: check_limits, a summary
        if timeout_s is not None:
            return None, False
        over.result()
    if raised and not isinstance(raised[0], Exception):
        raise RuntimeError(f"a call of the plan ended its thread ({raised[0]!r})") from raised[0]
    if raised:
        raise raised[0]
    return outcome[0], True

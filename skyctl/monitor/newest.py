"""Newest: hands the newest of something from any thread to the tasks of an event loop."""

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """The newest value, and a number that grows with each. Whoever is slow misses values.

    Nobody is woken where nobody waits: a thousand frames a second cost the loop nothing then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[T, int] | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def value(self) -> T | None:
        """The newest, None before the first."""
        return self._held[0] if self._held else None

    def put(self, value: T) -> None:
        """Set it, from any thread."""
        with self._lock:
            self._held = value, (self._held[1] if self._held else 0) + 1
            waiting, self._waiting = self._waiting, None
        if waiting and not waiting[0].is_closed():
            waiting[0].call_soon_threadsafe(waiting[1].set)

    async def after(self, number: int) -> tuple[T, int]:
        """The value and its number, once that is above ``number``; from one loop only."""
        while True:
            with self._lock:
                if self._held and self._held[1] > number:
                    return self._held
                if self._waiting is None:
                    self._waiting = asyncio.get_running_loop(), asyncio.Event()
                changed = self._waiting[1]
            await changed.wait()

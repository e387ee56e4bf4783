"""Have malloc keep the memory of messages that have left, for those to come."""

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 2**20
"""Twice what may wait for a hub and a subscriber."""
_LARGEST_KEPT_BYTES = 32 * 2**20
"""glibc takes no larger one."""


def keep_freed_memory() -> None:
    """Have the C library keep the memory that ZeroMQ frees after each message.

    By default glibc gives the system back what large messages leave and asks again for the next:
    each of its pages then costs a fault, together more than receiving the message. No other C
    library does, or understands the request.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)

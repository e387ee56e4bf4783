"""What a figure was measured on, and how."""

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 5
"""Repeats of which the median counts."""


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    return {
        "processor": _processor(),
        "cores": multiprocessing.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def rate(once: Callable[[], float], seconds: float) -> float:
    """Work a second, ``once`` again and again for ``seconds``; it returns the work it did."""
    work, start = 0.0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not work:
        work += once()
    return work / elapsed


def median_rate(once: Callable[[], float], seconds: float) -> float:
    """The median rate of rounds that share ``seconds``."""
    return statistics.median(rate(once, seconds / ROUNDS) for _ in range(ROUNDS))

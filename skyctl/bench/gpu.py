"""One part of `make gpu` in its own process: ``python -m skyctl.bench.gpu PART FILE [--trial]``.

What goes wrong on a device leaves it unusable to its process, and to no other.
"""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

PARTS = {
    "films": "skyctl.bench.gpu_films",
    "movies": "skyctl.bench.gpu_films",
    "classifier": "skyctl.bench.gpu_networks",
    "torque_networks": "skyctl.bench.gpu_networks",
    "torque_film": "skyctl.bench.gpu_networks",
}
"""The module that has a function of the part's name."""
TRIAL: dict[str, dict[str, Any]] = {
    "films": {"seconds": 0.01, "cases": ((5, 2),), "span_ps": 0.015, "copied_bytes": 1000},
    "movies": {"count": 2, "side": 5, "end_ps": 0.045, "cpu_count": 1, "start": "empty"},
    "classifier": {"device": "cpu", "lives": 3},
    "torque_networks": {"device": "cpu", "states": 2, "side": 12},
    "torque_film": {"device": "cpu", "side": 12, "seconds": 0.01, "steps": 1},
}
"""Next to nothing, for numba's simulator of a GPU and for a CPU: to try the script."""


def measure(part: str, trial: bool = False) -> dict[str, Any]:
    """What a part finds, as plain values."""
    function = getattr(importlib.import_module(PARTS[part]), part)
    return function(**TRIAL[part]) if trial else function()


def main() -> None:
    """Measure one part, and write what it found."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("part", choices=PARTS)
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--trial", action="store_true")
    given = arguments.parse_args()
    given.file.write_text(json.dumps(measure(given.part, given.trial), indent=2))


if __name__ == "__main__":
    main()

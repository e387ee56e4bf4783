"""Ctrl-C over and over while pulses are fired: part of `make attack`, or

    python tests/fuzz/interrupts.py --interrupts 5000 [--processes N] [--seed N] [--json FILE]

Status 1 when one disarmed nothing, or a shot was fired after it did. How long it took is told: on a
machine with nothing to spare that is the kernel's doing as well (--processes keeps it busy).
"""

import argparse
import contextlib
import io
import json
import logging
import signal
import sys
import time
from pathlib import Path

from skyctl.bench.interrupts import interrupt


def main() -> int:
    """Interrupt, and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--interrupts", type=int, default=5000)
    options.add_argument("--processes", type=int, default=0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored
    for name in ("skyctl", "bluesky"):  # each refusal is a warning, each abort an error
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    begun = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):  # the RunEngine says that it pauses
        told = interrupt(given.interrupts, seed=given.seed, processes=given.processes)
    result = {"seed": given.seed, **told, "seconds": round(time.monotonic() - begun, 1)}
    print(json.dumps(result))  # noqa: T201 - it is a program
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return int(bool(result["lost"] or result["fired_after"]))


if __name__ == "__main__":
    sys.exit(main())

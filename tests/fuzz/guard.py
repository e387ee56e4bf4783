"""Fuzzer of the pulser's guard: part of `make fuzz`, or

    python tests/fuzz/guard.py --proposals 100000 [--seed N] [--json FILE]

Random proposals, hostile ones among them (wrong types, NaN, subclasses, pulses changed after
arming, replayed commands, crashes, second controllers), go to pulsers of random envelopes. What
reaches the driver is judged by a second reading of the envelope's definition. Status 1 when
anything unsafe did, or a second controller got in.
"""

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from skyctl.studies.hostile_proposals import fuzz_pulser


def main() -> int:
    """Fuzz, and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--proposals", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    logging.getLogger("skyctl").setLevel(logging.CRITICAL)  # each refusal is a warning
    begun = time.monotonic()
    result = {"seed": given.seed, **fuzz_pulser(given.proposals, given.seed)}
    result["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(result))  # noqa: T201 - it is a program
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return int(bool(result["unsafe"] or result["second_controllers"]))


if __name__ == "__main__":
    sys.exit(main())

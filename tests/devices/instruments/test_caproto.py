"""The other control layer that ophyd has: the suite of Channel Access once more, over caproto."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent / "test_pulse_instrument.py"


@pytest.mark.slow
def test_channel_access_over_caproto():
    pytest.importorskip("caproto", reason="caproto is not installed")
    layer = {"OPHYD_CONTROL_LAYER": "caproto"}  # ophyd reads it when it is imported
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(SUITE), "-k", "ca]", "-p", "no:cacheprovider"],
        env={**os.environ, **layer}, capture_output=True, text=True, timeout=240, check=False,
        cwd=SUITE.parents[3],
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-3000:]
    assert " passed" in told.stdout

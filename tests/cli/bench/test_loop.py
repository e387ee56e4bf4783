"""`skyctl bench loop`, used as a person would."""

import json
import subprocess
import sys


def skyctl(*args, cwd):
    command = [sys.executable, "-m", "skyctl.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_bench_loop_counts_every_frame(tmp_path):
    path = tmp_path / "b.json"
    done = skyctl("bench", "loop", "--frames", 68, "--rate", 200, "--json", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert result["lost_frames"] == 0
    assert result["results"][0]["frames"] == 68

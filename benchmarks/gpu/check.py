"""`make gpu`: every test marked "gpu", and the figures of a GPU beside the CPU, in eight minutes.

Writes one JSON and, beside it, one log. A part that fails or runs out of time leaves the others
theirs. Ends with status 1 then, and where there is no GPU.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from skyctl.bench.machine import machine

ROOT = Path(__file__).parents[2]
BUDGETS_S = {
    "tests": 200,
    "films": 50,
    "movies": 45,
    "classifier": 85,
    "torque_networks": 50,
    "torque_film": 40,
}
_LAST_WORDS_S = 10
_PACKAGES = (
    *("numpy", "numba", "numba-cuda", "cuda-bindings"),
    *("torch", "onnxruntime", "onnxruntime-gpu"),
)
_PROBE = """
import sys
import traceback

try:
    import numpy as np
    from numba import cuda

    @cuda.jit
    def double(x):
        x[cuda.grid(1)] *= 2

    x = cuda.to_device(np.arange(32.0))
    double[1, 32](x)
    assert x.copy_to_host()[31] == 62
except Exception as error:
    traceback.print_exc()
    sys.exit(" ".join(f"{type(error).__name__}: {error}".rstrip(" :\\n").split()))
try:
    from cuda import pathfinder

    for name in ("nvvm", "nvrtc"):
        found = pathfinder.load_nvidia_dynamic_lib(name)
        print(name, found.found_via, found.abs_path)
except Exception as error:
    print("it works; by which libraries is not known:", error)
"""
"""A kernel that numba compiles and runs; then, with which of NVIDIA's libraries."""
_COMPILERS = ("nvidia/cu13", "nvidia/cuda_nvcc")
"""Where NVIDIA's compiler may be among torch's packages."""


class Check:
    """One run of all parts: what is asked for, and what was found so far.

    file : where the JSON goes; trial : next to nothing, on numba's simulator and the CPU
    """

    def __init__(self, file: Path, trial: bool) -> None:
        self.file, self.trial = file, trial
        # The plugins that a machine has for its own pytest are none of ours.
        own = {"PYTHONUNBUFFERED": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        self.environ = {**os.environ, **own}
        if trial:
            self.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        self.found: dict[str, Any] = {"trial": trial, "machine": _machine(), "parts": {}}
        file.parent.mkdir(parents=True, exist_ok=True)
        self.log = file.with_suffix(".log")
        self.log.unlink(missing_ok=True)

    def say(self, text: str) -> None:
        """To the terminal and to the log."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        self._keep(text)

    def _keep(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text + "\n")

    def run(self, command: list[str], budget_s: float) -> tuple[int | None, str]:
        """Status, None where the time was up, and output of a command.

        It is interrupted then, so that it may say what it has, and killed with all its own.
        """
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(budget_s)
            except subprocess.TimeoutExpired:
                status = None
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LAST_WORDS_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            text = output.read()
        self._keep(f"\n$ {' '.join(command)}\n{text}")
        return status, text

    def find_cuda(self) -> bool:
        """Whether numba's kernels run, and where NVIDIA's compiler had to be pointed out to it."""
        tried = []
        for home in (None, *_homes()):
            if home:
                self.environ["CUDA_HOME"] = home
            status, text = self.run([sys.executable, "-c", _PROBE], 60)
            said = text.strip().splitlines()
            tried.append({"CUDA_HOME": home, "works": status == 0, "said": said[-2:]})
            if status == 0:
                break
        else:
            self.environ.pop("CUDA_HOME", None)
        self.found["cuda"] = tried
        return tried[-1]["works"]

    def torch_works(self) -> bool:
        """Whether torch has a GPU."""
        code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
        return self.run([sys.executable, "-c", code], 60)[0] == 0

    def part(self, name: str) -> bool:
        """Run one part and keep what it found. Whether it went well."""
        start = time.perf_counter()
        do = self.tests if name == "tests" else self.measured
        try:
            found = do(name, BUDGETS_S[name])
        except Exception:  # noqa: BLE001 - the other parts are still to come
            found = {"status": "failed", "error": traceback.format_exc()}
        found["seconds"] = round(time.perf_counter() - start, 1)
        self.found["parts"][name] = found
        self.file.write_text(json.dumps(self.found, indent=2, ensure_ascii=False) + "\n")
        self.say(f"{name}: {found['status']} after {found['seconds']} s")
        for goal in found.get("figures", {}).get("goals", []):
            met = "met" if goal["met"] else "NOT met"
            self.say(f"  {goal['what']}: {goal['measured']:.3g}, wanted {goal['wanted']:g}: {met}")
        if "error" in found:
            self.say(found["error"])
        return found["status"] == "passed"

    def measured(self, name: str, budget_s: float) -> dict[str, Any]:
        """What a part of ``skyctl.bench.gpu`` found."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "found.json"
            command = [sys.executable, "-m", "skyctl.bench.gpu", name, str(file)]
            status, text = self.run([*command, *["--trial"] * self.trial], budget_s)
            if status == 0:
                return {"status": "passed", "figures": json.loads(file.read_text())}
        failed = "failed" if status is not None else f"out of time ({budget_s} s)"
        return {"status": failed, "error": text[-4000:]}

    def tests(self, _: str, budget_s: float) -> dict[str, Any]:
        """What the tests marked "gpu" came to, every file in a process of its own."""
        every = sorted((ROOT / "tests").rglob("test_*.py"))
        files = [path for path in every if "pytest.mark.gpu" in path.read_text()]
        if self.trial:
            files = [path for path in files if path.name == "test_kernels_cuda.py"]
        with ThreadPoolExecutor(len(files)) as pool:
            results = list(pool.map(lambda file: self._tests_of(file, budget_s), files))
        rows = {str(f.relative_to(ROOT)): row for f, row in zip(files, results, strict=True)}
        bad = [name for name, row in rows.items() if row["failed"] or row["status"] != 0]
        passed = sum(row["passed"] for row in rows.values())
        figures = {"passed": passed, "files": rows}
        if passed and not bad:
            return {"status": "passed", "figures": figures}
        error = f"failed: {', '.join(bad)}" if bad else "every test was skipped"
        return {"status": "failed", "figures": figures, "error": error}

    def _tests_of(self, file: Path, budget_s: float) -> dict[str, Any]:
        """Of one file: pytest's status, and the tests that passed, failed and were skipped."""
        some = ["-k", "when_it_was_taken"] if self.trial else []
        row: dict[str, Any] = {"passed": 0, "failed": {}, "skipped": {}}
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            row["status"], _ = self.run(
                [
                    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"),
                    *("-m", "gpu", "-W", "default", f"--junitxml={report}", *some, str(file)),
                ],
                budget_s,
            )
            cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
        for case in cases:
            name = f"{case.get('classname')}::{case.get('name')}"
            told = {child.tag: child.get("message", "") for child in case}
            if "failure" in told or "error" in told:
                row["failed"][name] = told.get("failure", told.get("error"))
            elif "skipped" in told:
                row["skipped"][name] = told["skipped"]
            else:
                row["passed"] += 1
        return row


def _machine() -> dict[str, Any]:
    """Processor, GPU, driver and versions."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        gpu = ""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {**machine(), "gpu": gpu or "none", "versions": versions}


def _homes() -> list[str]:
    """Folders that NVIDIA's compiler may be in: the system's, and those of Python packages."""
    packages = [Path(path) for path in sys.path if path.endswith("-packages")]
    homes = [
        *sorted(Path("/usr/local").glob("cuda*")),
        *(folder / compiler for folder in packages for compiler in _COMPILERS),
    ]
    return [str(home) for home in homes if home.is_dir()]


def main() -> int:
    """Run the parts. Status 0 where all went well."""
    arguments = argparse.ArgumentParser(description=__doc__)
    out = Path(os.environ.get("OUT", ROOT / "benchmarks"))
    arguments.add_argument("--json", type=Path, default=out / "gpu.json", help="where to write")
    arguments.add_argument("--trial", action="store_true", help="try this script without a GPU")
    arguments.add_argument("--only", action="append", choices=BUDGETS_S, help="repeatable")
    given = arguments.parse_args()
    check = Check(given.json, given.trial)
    if not given.trial and not check.find_cuda():
        reason = check.found["cuda"][0]["said"][-1:]
        if not check.torch_works():
            check.say(f"no NVIDIA GPU that numba can use: {' '.join(reason)}")
            return 1
        check.say(f"numba can use no GPU, torch can: {' '.join(reason)}")
    check.say(json.dumps(check.found["machine"], ensure_ascii=False))
    went_well = [check.part(name) for name in given.only or BUDGETS_S]
    return 0 if all(went_well) else 1


if __name__ == "__main__":
    sys.exit(main())

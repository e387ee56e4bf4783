"""Kernels are kept by the text that they are compiled of, wherever it lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import skyctl
from skyctl import compiled, simulators

NORMALISE = """
import numpy as np
from skyctl.simulators.physics.kernels_runge_kutta import normalise
target = np.zeros((3, 4))
normalise(np.full((3, 4), 2.0), target)
print(sum(normalise.stats.cache_hits.values()), target[0, 0])
"""


def copied(folder, **replaced):
    """A package with the physics alone, as old as the epoch; ``replaced`` : module, (old, new)."""
    package = folder / "skyctl"
    away = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        Path(simulators.__file__).parent / "physics",
        package / "simulators" / "physics",
        ignore=away,
    )
    sources = [(skyctl, package), (compiled, package), (simulators, package / "simulators")]
    for source, target in sources:
        shutil.copy(str(source.__file__), target)
    for module, (old, new) in replaced.items():
        file = package / "simulators" / "physics" / f"{module}.py"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
    for file in package.rglob("*.py"):
        os.utime(file, (0, 0))
    return folder


def started(folder, cache_home):
    env = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(cache_home)}
    env.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", NORMALISE]
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE)


def told(process):
    """How often the cache had the kernel, and a component of (2, 2, 2) as a unit vector."""
    hits, component = process.communicate()[0].split()
    assert process.returncode == 0
    return int(hits), float(component)


def normalised(folder, cache_home):
    return told(started(folder, cache_home))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache folder that has the kernel as it is here."""
    cache_home = tmp_path_factory.mktemp("cache")
    folder = copied(tmp_path_factory.mktemp("first"))
    assert normalised(folder, cache_home) == (0, pytest.approx(3**-0.5))
    assert list((cache_home / "skyctl" / "numba").rglob("*normalise-*.nbc"))
    assert not list(folder.rglob("*.nb?"))
    return cache_home


def test_another_copy_of_the_package_finds_what_the_first_compiled(tmp_path, warm):
    assert normalised(copied(tmp_path), warm) == (1, pytest.approx(3**-0.5))


def test_what_a_kernel_is_not_compiled_of_may_change(tmp_path, warm):
    changed = copied(tmp_path, topology=("_ALONG_Z = 0.5", "_ALONG_Z = 0.6"))
    assert normalised(changed, warm)[0] == 1


def test_a_kernel_does_not_outlive_a_change_of_the_physics(tmp_path, warm):
    changed = copied(tmp_path, llg=("sx * sx + sy * sy + sz * sz", "sx * sx + sy * sy - sz * sz"))
    assert normalised(changed, warm) == (0, pytest.approx(1))


def test_of_several_processes_that_need_a_kernel_one_compiles_it(tmp_path):
    folder = copied(tmp_path / "package")
    processes = [started(folder, tmp_path / "cache") for _ in range(3)]
    assert sorted(told(process)[0] for process in processes) == [0, 1, 1]


TAKES = """
import sys, time
from skyctl import compiled
compiled._PATIENCE_S = 0.1
print(compiled._take_turn("kernel"), flush=True)
sys.stdin.read()
"""


def test_a_turn_is_waited_for_and_whoever_is_killed_gives_it_back(tmp_path):
    def taker():
        command, env = [sys.executable, "-c", TAKES], {**os.environ, "NUMBA_CACHE_DIR": tmp_path}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, env=env, text=True, **pipes)

    with taker() as first:
        assert first.stdout.readline() == "True\n"
        assert taker().communicate()[0] == "False\n"
        first.kill()
    assert taker().communicate()[0] == "True\n"


def test_a_kernel_that_cannot_be_compiled_keeps_no_turn(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "_PACKAGE", __name__)
    taken, given = [], []
    monkeypatch.setattr(compiled, "_take_turn", lambda name: taken.append(name) or True)
    monkeypatch.setattr(compiled, "_end_turn", given.append)
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(compiled._ByContent, "__init__", kept_under_its_name)

    @numba.njit(cache=True)
    def kernel(x):
        return x.nothing

    with pytest.raises(numba.TypingError):
        kernel(1.0)
    assert given == taken != []


def kept_under_its_name(locator, kernel, file):
    locator._py_file, locator._line, locator._digest = file, 1, kernel.__name__


def test_without_a_cache_folder_kernels_are_compiled_all_the_same(tmp_path):
    no_folder = tmp_path / "file"
    no_folder.touch()
    folder = copied(tmp_path / "package")
    for _ in range(2):
        assert normalised(folder, no_folder) == (0, pytest.approx(3**-0.5))
    assert not list(tmp_path.rglob("*.nb?"))


@pytest.mark.parametrize(
    ("module", "counts"),
    [
        *(("simulators.lattice.kernels_cpu", True), ("simulators.lattice.layout", True)),
        *(("simulators.physics.llg", True), ("simulators.physics.schemes", True)),
        *(("compiled", True), ("simulators.lattice.film", False)),
    ],
)
def test_a_kernel_is_compiled_of_all_that_it_imports_and_what_that_imports(
    monkeypatch, module, counts
):
    kernels, source = "skyctl.simulators.lattice.kernels_cpu", compiled._source
    digest = compiled.sources_digest(kernels)
    without = f"skyctl.{module}"
    monkeypatch.setattr(compiled, "_source", lambda name: b"" if name == without else source(name))
    assert (compiled.sources_digest(kernels) != digest) == counts


def test_kernels_that_nobody_loads_are_removed_after_a_month(tmp_path):
    day, now = 86_400, 1_800_000_000
    for name, days in {"new.nbc": 1, "old.nbc": 40, "old.nbi": 40, "other.txt": 40}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - days * day,) * 2)
    compiled.prune(tmp_path, now)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"new.nbc", "other.txt", "pruned"}
    (tmp_path / "older.nbc").touch()
    os.utime(tmp_path / "older.nbc", (now - 99 * day,) * 2)
    compiled.prune(tmp_path, now + 3600)  # looked after once a day
    assert (tmp_path / "older.nbc").exists()
    compiled.prune(tmp_path, now + 2 * day)
    assert not (tmp_path / "older.nbc").exists()

"""The documentation as a site: its notebooks run, its menu has every page, it builds."""

import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A folder to work in, and pyplot that shows nothing; how many figures there are."""
    monkeypatch.chdir(tmp_path)
    before = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield lambda: len(plt.get_fignums())
    plt.close("all")
    plt.switch_backend(before)


def test_the_tutorial_runs(drawn, capsys):
    runpy.run_path(str(DOCS / "tutorial.py"))
    said = capsys.readouterr().out
    assert "nucleation 12 frames" in said
    assert said.splitlines()[-1] == "True"  # replayed bit for bit
    assert drawn() == 1


@pytest.mark.slow
def test_the_gallery_runs(drawn):
    runpy.run_path(str(DOCS / "gallery.py"))
    assert drawn() == 5


def test_the_menu_has_every_page():
    menu = (ROOT / "mkdocs.yml").read_text()
    pages = [*DOCS.glob("*.md"), *DOCS.glob("*.py")]
    assert [page.name for page in pages if f": {page.name}\n" not in menu] == []


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("mkdocs"), reason="mkdocs is not installed: make docs")
def test_the_site_builds_without_a_warning(tmp_path):
    package = ROOT / "build" / "types" / "skyctl"
    shutil.copytree(ROOT / "skyctl", package, dirs_exist_ok=True)
    for folder in ("devices", "models", "simulators"):
        shutil.copytree(ROOT / folder, package / folder, dirs_exist_ok=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "skyctl.plans.plans" in (tmp_path / "reference.html").read_text()

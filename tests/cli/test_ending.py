"""How a command ends: on Ctrl-C, in a terminal where it reaches every process of it; and on a
console that cannot show what it prints."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyctl.cli import _verbose_first
from skyctl.cli.common import new_file

BUSY = """
import os, sys, time
from skyctl.children import CHILDREN
from skyctl.cli import app, main

def wait():
    os.write(1, b"child\\n")  # in one piece: print's line end may come after another's line
    time.sleep(1000)

@app.command()
def busy():
    children = [CHILDREN.Process(target=wait) for _ in range(2)]
    for child in children:
        child.start()
    while True:  # deaf to the first Ctrl-C, as a loop in compiled code is
        try:
            children[0].join()
        except KeyboardInterrupt:
            continue

if __name__ == "__main__":
    sys.argv[1:] = ["busy"]
    main()
"""


def states_in_session(session):
    """Of the processes of a session; of one that is killed "Z" until somebody asks for it."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                yield fields[0]


def test_it_ends_in_one_line_with_status_130_and_no_child(tmp_path):
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["child\n"] * 2
            os.killpg(process.pid, signal.SIGINT)
            _, complaints = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # else this would wait for it for ever
            raise
    assert process.returncode == 130
    assert complaints == "interrupted\n"
    while any(state != "Z" for state in states_in_session(process.pid)):
        time.sleep(0.05)


INTERRUPTED = """
import atexit, sys, typer
from skyctl.cli import app, ending, main

@app.command()
def busy():
    atexit.register(lambda: print("taken down"))  # by libraries, for seconds
    print("kept")
    ending.say("interrupted; kept")
    raise typer.Exit(ending.STATUS)

sys.argv[1:] = ["busy"]
main()
"""


def test_an_interrupted_command_does_not_wait_for_python_to_be_taken_down(tmp_path):
    script = tmp_path / "busy.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "kept\n", "interrupted; kept\n")


FIRED = """
import sys
from skyctl.cli import app, main
from skyctl.cli.common import complain, console

@app.command()
def busy():
    console.print("fired: 3 T 16 ps θ=40°, dose 80 T²ps …")
    complain("µ")
    print("booked")

sys.argv[1:] = ["busy"]
main()
"""


def test_a_console_that_is_not_utf8_loses_no_line(tmp_path):
    script = tmp_path / "busy.py"
    script.write_text(FIRED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["fired: 3 T 16 ps ?=40?, dose 80 T?ps ?", "booked"]
    assert done.stderr == "error: ?\n"


def test_verbose_may_stand_anywhere():
    assert _verbose_first(["run", "write", "-v", "--", "-v"]) == ["-v", "run", "write", "--", "-v"]
    assert _verbose_first(["run", "write"]) == ["run", "write"]


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    first = new_file(tmp_path / "strip.png")
    first.touch()
    second = new_file(tmp_path / "strip.png")
    second.touch()
    assert [first.name, second.name] == ["strip.png", "strip-2.png"]
    assert new_file(tmp_path / "strip.png").name == "strip-3.png"


@pytest.mark.parametrize("package", ["skyctl", "skyctl.cli"])
def test_the_package_is_a_command(package):
    done = subprocess.run(
        [sys.executable, "-m", package, "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("skyctl ")


@pytest.mark.parametrize("verbose", [(), ("-v",)])
def test_a_library_that_sets_its_own_level_speaks_only_when_asked(verbose):
    told = """
import logging, sys
from skyctl.cli import app
app([*sys.argv[1:], "--version"], standalone_mode=False)
library = logging.getLogger("library")
library.setLevel(logging.INFO)
library.info("State start")
library.error("it broke")
"""
    done = subprocess.run(
        [sys.executable, "-c", told, *verbose], capture_output=True, text=True, check=True
    )
    assert "it broke" in done.stderr
    assert ("State start" in done.stderr) == bool(verbose)

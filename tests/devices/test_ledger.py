"""The ledger: chained, put away by the segment, private, and trusted again only by a person."""

import fcntl
import json
import os
import stat
import time

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.devices import ledger as module
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.ledger import Ledger
from skyctl.devices.ledger_accept import accept, inspect
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse

PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)
ENVELOPE = Envelope(rest_s=0, shots=100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def short(monkeypatch):
    """Segments of three shots."""
    monkeypatch.setattr(module, "SEGMENT", 3)


def booked(path, count, first=0):
    """Book so many shots and close the ledger."""
    guard = Guard(ENVELOPE, path)
    for number in range(first, first + count):
        guard.book(f"s{number}", PULSE)
    guard.close()


def shots_spent(path):
    guard = Guard(ENVELOPE, path)
    guard.close()
    return guard.shots_fired


def rewrite(path, change):
    """Change the lines of the file, in place."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))


def weakened(line):
    return line.replace(b'"amplitude_T": 2.0', b'"amplitude_T": 0.1')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: [lines[0], weakened(lines[1]), *lines[2:]], "line 2 .*it was changed"),
        (lambda lines: lines[:2], "line 3 cannot be read: 4 shots were booked"),
        (lambda lines: lines[:0], "line 1 cannot be read: 4 shots were booked"),
        (lambda lines: lines[1:], "line 1 "),
        (lambda lines: [lines[0], *lines[2:]], "line 2 "),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 "),
        (lambda lines: [*lines, lines[-1]], "line 5 "),
        (lambda lines: [*lines, b'{"shot": "x", "pulse": {"width_ps": 1}}\n'], "line 5 .*no hash"),
        (lambda lines: [*lines, b"[" * 4000 + b"\n"], "line 5 .*no hash"),
        (lambda lines: [*lines, b'{"shot": "x", "pulse": {"width_ps": 1e999}}\n'], "line 5 "),
        (lambda lines: [*lines, b"9" * 10**7 + b"\n"], "none of ours"),
    ],
)  # fmt: skip
def test_lines_changed_cut_or_added_between_runs_fail_closed_by_name(path, change, named):
    booked(path, 4)
    rewrite(path, change)
    with pytest.raises(PulseRefused, match=named) as refused:
        Guard(ENVELOPE, path)
    assert refused.value.kind == "ledger"
    assert "skyctl ledger accept" in str(refused.value)


def test_an_edit_of_the_same_length_while_it_is_held_fires_nothing_more(path):
    guard = Guard(ENVELOPE, path)
    for number in range(3):
        guard.book(f"s{number}", PULSE)
    with path.open("r+b") as file:
        file.write(weakened(path.read_bytes()))
    for _ in range(2):
        with pytest.raises(PulseRefused, match=r"while in use.*line 1 cannot be read"):
            guard.book("s3", PULSE)
    assert guard.spent.dose_T2ps == pytest.approx(3 * PULSE.dose_T2ps)
    guard.close()


def test_a_ledger_without_its_key_or_with_another_s_is_not_trusted(path, tmp_path):
    booked(path, 2)
    key = tmp_path / "ledger.jsonl.key"
    content = key.read_bytes()
    key.unlink()
    with pytest.raises(PulseRefused, match="line 1 cannot be read as written: its key"):
        Guard(ENVELOPE, path)
    key.write_bytes(b"nonsense\n")
    with pytest.raises(PulseRefused, match=r"its key .* is none"):
        Guard(ENVELOPE, path)
    key.write_bytes((b"0" if content[:1] != b"0" else b"1") + content[1:])
    with pytest.raises(PulseRefused, match="line 1"):
        Guard(ENVELOPE, path)
    key.write_bytes(content)
    assert shots_spent(path) == 2


def test_a_ledger_whose_key_is_replaced_while_held_fires_nothing(path, tmp_path):
    guard = Guard(ENVELOPE, path)
    guard.book("a", PULSE)
    (tmp_path / "ledger.jsonl.key").unlink()
    with pytest.raises(PulseRefused, match="lost its key"):
        guard.book("b", PULSE)
    guard.close()


def test_a_line_that_the_key_has_not_noted_counts(path, tmp_path):
    """A kill between the ledger's line and the key's note of it."""
    booked(path, 1)
    noted = (tmp_path / "ledger.jsonl.key").read_bytes()
    booked(path, 1, first=1)
    (tmp_path / "ledger.jsonl.key").write_bytes(noted)
    assert shots_spent(path) == 2


def test_segments_are_put_away_and_their_shots_still_count(path, short):
    booked(path, 4)
    booked(path, 6, first=4)
    assert [each.name for each in sorted(path.parent.iterdir())] == [
        "ledger.jsonl", *(f"ledger.jsonl.{what}" for what in ("1", "2", "3", "key", "names"))
    ]  # fmt: skip
    guard = Guard(ENVELOPE, path)
    assert (guard.spent.shots, guard.spent.amplitude_T) == (10, 2.0)
    assert guard.spent.dose_T2ps == pytest.approx(10 * PULSE.dose_T2ps)
    assert all(guard.has_fired(f"s{number}") for number in range(10))
    assert not guard.has_fired("s10")
    for name in ("s0", "s9"):
        with pytest.raises(PulseRefused, match="fired before"):
            guard.book(name, PULSE)
    guard.close()
    full = Guard(Envelope(rest_s=0, shots=10), path)
    full.close()
    with pytest.raises(PulseRefused, match="shot budget of 10"):
        full.allow("s10", PULSE)


def test_a_guard_forgets_no_name_it_lets_go_of(path, short, monkeypatch):
    monkeypatch.setattr("skyctl.devices.guard._REMEMBERED", 6)
    guard = Guard(ENVELOPE, path)
    for number in range(20):
        guard.book(f"s{number}", PULSE)
    assert len(guard.fired) == 6
    assert all(guard.has_fired(f"s{number}") for number in range(20))
    assert guard.shots_fired == 20
    guard.close()


def refusal(action):
    """Why it was refused, or ""."""
    try:
        action()
    except PulseRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("step", ["os.fsync", "os.link", "os.ftruncate", "pathlib.Path.rename"])
@pytest.mark.parametrize("when", range(6))
def test_a_crash_while_a_segment_is_put_away_loses_nothing(path, short, monkeypatch, step, when):
    booked(path, 3)
    guard = Guard(ENVELOPE, path)
    calls, owner, name = [], *step.rsplit(".", 1)
    target = {"os": os, "pathlib.Path": type(path)}[owner]
    does = getattr(target, name)

    def crash(*arguments):
        calls.append(name)
        if len(calls) == when + 1:
            raise OSError("the power is gone")
        return does(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, crash)
        refused = refusal(lambda: guard.book("s3", PULSE))
    if fired := not refused:
        assert len(calls) <= when
    else:
        assert "the power is gone" in refused
        assert "the power is gone" in refusal(lambda: guard.book("s4", PULSE))
    guard.close()
    assert shots_spent(path) in ((4,) if fired else (3, 4))
    booked(path, 5, first=5)
    guard = Guard(ENVELOPE, path)
    assert all(guard.has_fired(f"s{number}") for number in (0, 1, 2, 5, 6, 7, 8, 9))
    guard.close()


@pytest.mark.parametrize("how", ["an older segment", "other names", "no names", "fewer names"])
def test_what_was_put_away_cannot_come_back(path, short, how):
    booked(path, 8)
    names = path.with_name("ledger.jsonl.names")
    if how == "an older segment":
        path.write_bytes(path.with_name("ledger.jsonl.1").read_bytes())
    elif how == "other names":
        names.write_bytes(bytes(len(names.read_bytes())))
    elif how == "no names":
        names.unlink()
    else:
        names.write_bytes(names.read_bytes()[:-8])
    with pytest.raises(PulseRefused, match=r"not as it was written|cannot be read"):
        Guard(ENVELOPE, path)


def test_a_file_in_the_way_of_a_segment_is_not_overwritten(path, short):
    booked(path, 3)
    other = path.with_name("ledger.jsonl.1")
    other.write_text("mine")
    guard = Guard(ENVELOPE, path)
    with pytest.raises(PulseRefused, match="would be overwritten"):
        guard.book("s3", PULSE)
    guard.close()
    assert other.read_text() == "mine"
    assert shots_spent(path) == 3


def test_ledger_key_names_and_segments_are_their_user_s_alone(path, short):
    path.touch(mode=0o666)
    booked(path, 4)
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


@pytest.mark.parametrize("what", ["", "key"])
def test_another_user_s_file_or_a_link_is_refused(path, monkeypatch, what):
    booked(path, 1)
    place = path.with_name(f"{path.name}.{what}") if what else path
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 12345)
        with pytest.raises(PulseRefused, match="belongs to another user"):
            Guard(ENVELOPE, path)
    place.rename(path.with_name("elsewhere"))
    place.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(PulseRefused, match="symbolic links"):
        Guard(ENVELOPE, path)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(PulseRefused, match="no plain file"):
        Guard(ENVELOPE, path)


def test_a_file_system_without_locks_is_refused_by_name(path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(PulseRefused, match="file system has no locks"):
        Guard(ENVELOPE, path)


def test_a_ledger_put_away_between_opening_and_holding_it_is_refused(path, monkeypatch):
    booked(path, 1)
    flock = fcntl.flock

    def late(file, how):
        path.rename(path.with_name("gone"))
        path.touch()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(PulseRefused, match="another controller held it just now"):
        Ledger(path)


def test_a_person_accepts_what_lines_and_key_say(path):
    booked(path, 4)
    rewrite(path, lambda lines: [lines[0], weakened(lines[1])])
    found = inspect(path)
    assert "line 2" in found.fault
    assert (found.spent.shots, found.missing, found.unreadable) == (4, 2, ())
    assert found.spent.dose_T2ps == pytest.approx(4 * PULSE.dose_T2ps)  # as the key has it
    assert accept(path, "Ada", "restored from a copy") == found.spent
    assert inspect(path).fault == ""
    guard = Guard(ENVELOPE, path)
    assert guard.shots_fired == 4
    assert guard.has_fired("s0")
    guard.book("s4", PULSE)
    guard.close()
    first = json.loads(path.read_bytes().splitlines()[0])["checkpoint"]
    assert first["accepted"]["by"] == "Ada"
    assert "line 2" in first["accepted"]["fault"]
    assert weakened(path.with_name("ledger.jsonl.1").read_bytes()).count(b"\n") == 2
    assert shots_spent(path) == 5


def test_accepting_without_a_key_gathers_the_names_anew(path, short):
    booked(path, 7)
    path.with_name("ledger.jsonl.key").unlink()
    with pytest.raises(PulseRefused, match="its key"):
        Guard(ENVELOPE, path)
    assert accept(path, "Ada", "the key was lost").shots == 7
    guard = Guard(ENVELOPE, path)
    assert all(guard.has_fired(f"s{number}") for number in range(7))
    guard.close()


def test_a_dose_that_no_line_tells_is_asked_for(path):
    booked(path, 2)
    rewrite(path, lambda lines: [lines[0], b"[" * 3000 + b"\n"])
    assert inspect(path).unreadable == (2,)
    with pytest.raises(ValueError, match="Give the dose"):
        accept(path, "Ada", "why")
    assert accept(path, "Ada", "why", dose_T2ps=500.0).dose_T2ps == 500.0
    assert shots_spent(path) == 2
    for who, why, dose in (("", "why", 0.0), ("Ada", " ", 0.0), ("Ada", "why", -1.0)):
        with pytest.raises(ValueError, match=r"say who|not below 0"):
            accept(path, who, why, dose_T2ps=dose)


def test_a_ledger_that_is_held_is_not_accepted(path):
    guard = Guard(ENVELOPE, path)
    with pytest.raises(PulseRefused, match="another controller holds it"):
        accept(path, "Ada", "why")
    guard.close()
    with pytest.raises(PulseRefused, match="is not there"):
        inspect(path.with_name("other"))


def test_the_command_says_what_is_wrong_and_accepts_it(path):
    booked(path, 3)
    assert CliRunner().invoke(app, ["ledger", "check", str(path)]).exit_code == 0
    rewrite(path, lambda lines: lines[:1])
    done = CliRunner().invoke(app, ["ledger", "check", str(path)])
    assert done.exit_code == 1
    assert "3 shots" in done.output
    assert "shots noted and gone: 2" in done.output
    arguments = ["ledger", "accept", str(path), "--why", "cut by hand"]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "accepted: 3 shots" in done.output) == (0, True), done.output
    assert shots_spent(path) == 3
    assert CliRunner().invoke(app, [*arguments[:3], "--why", " "]).exit_code == 2


@pytest.mark.slow
def test_a_hundred_thousand_shots_open_within_half_a_second(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # or it takes an hour
        guard = Guard(Envelope(rest_s=0, shots=10**6, budget_T2ps=1e12), path)
        for number in range(100_000):
            guard.book(f"{number:032x}", PULSE)
        guard.close()
    began = time.monotonic()
    assert shots_spent(path) == 100_000
    assert time.monotonic() - began < 0.5

"""What commands share: who sits here, and JSON that every reader takes."""

import getpass
import json
import math

import pytest

from skyctl.cli.common import progress_bar, who, write_json


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 12345"), OSError()])
def test_a_user_without_a_name_has_a_number(monkeypatch, error):
    def unknown():
        raise error

    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert who() == "uid 12345"


def test_a_number_that_is_none_is_null(tmp_path):
    path = tmp_path / "new" / "result.json"
    write_json(path, {"a": [math.nan, 1.5, (math.inf,)], "b": {"c": -math.inf}})

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert found == {"a": [None, 1.5, [None]], "b": {"c": None}}


def test_the_time_left_is_told_from_all_steps_so_far_but_those_of_another_time():
    now = 0.0
    bars = progress_bar("movies")
    bars.get_time = lambda: now
    bar = bars.add_task("simulating", total=100, completed=50)
    (task,), left = bars.tasks, bars.columns[-1]
    assert str(left(task)) == "-:--:--"
    now = 20.0
    bars.advance(bar)
    bars.advance(bar)  # at the same moment, in another thread
    assert str(left(task)) == "0:08:00"  # 48 more, 10 s each

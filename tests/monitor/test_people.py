"""Who may see the page and who may act: tokens, roles, and the file that keeps them."""

import json
import stat

import pytest

from skyctl.errors import MonitorError
from skyctl.monitor.people import People, invite


def test_a_token_is_one_person_s():
    people = People({"Ada": "operator", "Grace": "viewer"})
    tokens = {person.name: token for person, token in people}
    assert len(set(tokens.values())) == 2
    assert people.who(tokens["Ada"]).may_act
    assert not people.who(tokens["Grace"]).may_act
    assert people.who("") is people.who("x" * 32) is people.who("né") is None


def test_who_is_invited_is_in_a_file_that_only_its_owner_reads(tmp_path):
    file = tmp_path / "crew" / "people.json"
    first = invite(file, "Ada", "viewer")
    grace = invite(file, "Grace", "viewer")
    second = invite(file, "Ada", "operator")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    people = People.load(file)
    assert people.who(first) is None
    assert people.who(second).may_act
    assert people.who(grace).name == "Grace"


@pytest.mark.parametrize("name", ["", " Ada", "a\nb", "--", "x" * 33])
def test_a_name_that_cannot_sign_is_none(name):
    with pytest.raises(ValueError, match="name"):
        People({name: "operator"})


def test_a_role_that_is_none_is_refused():
    with pytest.raises(ValueError, match="choose viewer or operator"):
        People({"Ada": "admin"})


def test_files_that_are_not_to_be_trusted_let_nobody_in(tmp_path):
    file = tmp_path / "people.json"
    token = invite(file, "Ada", "operator")
    file.chmod(0o640)
    with pytest.raises(MonitorError, match="others can read"):
        People.load(file)
    file.chmod(0o600)
    for content in (
        "",
        "[]",
        json.dumps({"Ada": {"role": "root", "token": token}}),
        json.dumps({"Ada": {"role": "operator", "token": "short"}}),
        json.dumps({"Ada": {"role": "operator"}}),
        json.dumps({"Ada": token}),
    ):
        file.write_text(content)
        with pytest.raises(MonitorError, match="cannot be read"):
            People.load(file)
    with pytest.raises(MonitorError, match="No such file"):
        People.load(tmp_path / "nobody.json")

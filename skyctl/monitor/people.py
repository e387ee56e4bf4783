"""People: who may see the page and who may act, a token a person."""

import getpass
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from skyctl.errors import MonitorError
from skyctl.plans.modes import Answer

Role = Literal["viewer", "operator"]
"""A viewer sees everything and may STOP; an operator also answers and releases."""
ROLES: tuple[Role, ...] = get_args(Role)
_TOKEN_BYTES = 24
_LONGEST_NAME = 32
"""The documents have room for a name and a comment."""


@dataclass(frozen=True)
class Person:
    """Somebody who has a token.

    Raises ValueError for a name that cannot approve anything, or no such role.
    """

    name: str
    role: Role

    def __post_init__(self) -> None:
        Answer(True, self.name)  # what a yes is signed with
        if len(self.name) > _LONGEST_NAME:
            raise ValueError(f"name {self.name!r}: give at most {_LONGEST_NAME} characters")
        if self.role not in ROLES:
            raise ValueError(f"role {self.role!r} of {self.name}: choose {' or '.join(ROLES)}")

    @property
    def may_act(self) -> bool:
        """Whether this person may answer and release; anybody may stop."""
        return self.role == "operator"


class People:
    """Persons by their tokens; iterates over (person, token).

    >>> crew = People({"Ada": "operator", "Grace": "viewer"})
    >>> sorted(person.name for person, _ in crew)
    ['Ada', 'Grace']
    """

    def __init__(self, roles: dict[str, Role]) -> None:
        """Draw a token for each of these persons. Raises ValueError as Person."""
        self._tokens = {Person(name, role): _new_token() for name, role in roles.items()}

    @classmethod
    def only_me(cls) -> "People":
        """Whoever runs this program, as an operator."""
        return cls({_my_name(): "operator"})

    @classmethod
    def load_or_me(cls, path: Path) -> "People":
        """Who is in the file, which is made with `only_me` where it is not there.

        Raises MonitorError.
        """
        if not path.exists():
            invite(path, _my_name(), "operator")
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "People":
        """Read a file that `invite` wrote. Raises MonitorError."""
        people = cls({})
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise MonitorError(
                    f"people {path}: others can read its tokens. Say chmod 600 {path}."
                )
            told: dict[str, dict[str, Any]] = json.loads(path.read_text())
            for name, one in told.items():
                token = one["token"]
                if type(token) is not str or len(token) < _TOKEN_BYTES:
                    raise ValueError(f"the token of {name} is too short")
                people._tokens[Person(name, one["role"])] = token
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MonitorError(
                f"people {path}: cannot be read ({error}). Write it with `skyctl people`."
            ) from error
        return people

    def __iter__(self) -> Iterator[tuple[Person, str]]:
        return iter(self._tokens.items())

    def who(self, token: str) -> Person | None:
        """Whose token this is."""
        given = hashlib.sha256(token.encode()).digest()
        found = None
        for person, known in self._tokens.items():  # all of them: time tells nothing
            if hmac.compare_digest(given, hashlib.sha256(known.encode()).digest()):
                found = person
        return found


def invite(path: Path, name: str, role: Role) -> str:
    """Give a person a new token, in a file that only its owner can read; the token.

    Whoever is in the file already gets the new role, and the old token is worth nothing.
    Raises MonitorError for a file that is none of these, ValueError as Person.
    """
    person, token = Person(name, role), _new_token()
    people = dict(People.load(path)) if path.exists() else {}
    kept = {one: known for one, known in people.items() if one.name != name} | {person: token}
    content = {one.name: {"role": one.role, "token": known} for one, known in kept.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    beside.replace(path)
    return token


def _my_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        return f"user {os.getuid()}"


def _new_token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)

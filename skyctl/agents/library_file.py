"""Files of what an agent knows beforehand (.npz): read whole, or refused by name."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np

from skyctl.errors import SkyctlError

_Library = TypeVar("_Library")
_DAMAGED = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error, struct.error),
    *(NotImplementedError, RuntimeError, MemoryError),
)
"""What numpy and zipfile raise for a file with flipped bytes: of another compression, encrypted, of
arrays larger than memory."""


class LibraryError(SkyctlError):
    """A file that does not hold what an agent is to know."""


def read_library(
    path: Path | None,
    made: Callable[[dict[str, np.ndarray], str], _Library],
    *,
    shipped: str,
    what: str,
    command: str,
) -> _Library:
    """What ``made`` makes of a file's arrays and its sha256.

    path : None is the shipped file, of the name ``shipped``
    what, command : what such a file is called, and what writes one

    Raises LibraryError for a file that is missing, damaged or another.
    """
    name = str(path) if path else f"shipped {shipped}"
    try:
        data = (path or resources.files("skyctl.agents").joinpath(shipped)).read_bytes()
        with np.load(io.BytesIO(data)) as file:
            return made({key: file[key] for key in file}, hashlib.sha256(data).hexdigest())
    except _DAMAGED as error:
        raise LibraryError(
            f"{what} {name}: cannot be read ({error}). Make it again with `{command}`."
        ) from error

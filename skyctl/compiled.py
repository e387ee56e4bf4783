"""What compiled loops share: numba's options, and where what they compile to is kept.

numba's own cache watches a kernel's file alone: it would outlive a change of the physics that is
compiled into it, and it lies in the checkout: every clone would begin without one. So ours is in
the user's cache folder, named after the text of all that a kernel is compiled of, wherever that
lies and whenever it was written. The folder may be deleted at any time.
"""

import ast
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba

from skyctl.errors import SkyctlError

_Locator: Any = object
_locators: list[type] | None = None
try:
    from numba.core.caching import CacheImpl, _CacheLocator

    _Locator, _locators = _CacheLocator, CacheImpl._locator_classes
except (ImportError, AttributeError):  # another numba: its own cache has to do
    pass

_PACKAGE = "skyctl."
_DAY_S = 86_400
_KEPT_DAYS = 30


def cache_folder() -> Path:
    """Where kernels are kept: in $NUMBA_CACHE_DIR, $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(given or Path.home() / ".cache") / "skyctl" / "numba"


def _can_keep() -> bool:
    """Whether the cache folder can be written, or numba has to do with its own."""
    if _locators is None:
        return True
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache_folder()).close()
        prune(cache_folder(), time.time())
    except (OSError, RuntimeError):  # RuntimeError: whoever this runs for has no home
        return False
    return True


def prune(folder: Path, now_s: float) -> None:
    """Remove kernels that nobody loaded for a month; looked after once a day.

    Every change of a source leaves those of before behind. By the time of the last access, which
    file systems note once a day; where they do not, a kernel in use is compiled anew once a month.
    """
    marker = folder / "pruned"
    with contextlib.suppress(OSError):  # others may prune at the same time
        if marker.exists() and now_s - marker.stat().st_mtime < _DAY_S:
            return
        marker.touch()
        os.utime(marker, (now_s, now_s))
        for kernel in folder.glob("*.nb[ci]"):
            state = kernel.stat()
            if now_s - max(state.st_atime, state.st_mtime) > _KEPT_DAYS * _DAY_S:
                kernel.unlink(missing_ok=True)


def sources_digest(module: str) -> str:
    """A name for the text of a module, of all of this package that it imports, and of this one."""
    text = hashlib.sha256(numba.__version__.encode())
    for name, source in sorted(_sources(module, _sources(__name__, {})).items()):
        text.update(f"{name} {len(source)}\n".encode() + source)
    return text.hexdigest()[:24]


def _sources(module: str, found: dict[str, bytes]) -> dict[str, bytes]:
    if module not in found and (source := _source(module)) is not None:
        found[module] = source
        for name in _imported(source):
            _sources(name, found)
    return found


@cache
def _source(module: str) -> bytes | None:
    """The text of a module; None where a name is none, but something in one."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin).read_bytes() if spec and spec.origin else None


def _imported(source: bytes) -> Iterator[str]:
    """What of this package a source imports: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(_PACKAGE):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.startswith(_PACKAGE))


class _ByContent(_Locator):
    """numba's locator for the kernels of this package."""

    def __init__(self, kernel: Callable[..., Any], file: str) -> None:
        self._py_file, self._line = file, kernel.__code__.co_firstlineno
        self._digest = sources_digest(kernel.__module__)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_ByContent | None":
        return cls(py_func, py_file) if py_func.__module__.startswith(_PACKAGE) else None

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return self._digest

    def get_disambiguator(self) -> str:
        return f"{self._line}-{self._digest}"


if _locators is not None:
    _locators.insert(0, _ByContent)

OPTIONS = {
    "error_model": "numpy",
    "fastmath": {"nnan", "ninf", "nsz", "contract", "reassoc"},
    "nogil": True,
    "cache": _can_keep(),
}
"""error_model: numpy's, or the check for a zero divisor keeps a loop from being vectorised.
fastmath: all but estimates of 1/x and √x, which differ between a vector and the odd sites at its
end: a film would depend on how many threads share it."""


def only_compiled() -> None:
    """The body of what numba puts something else for: run as plain Python it would do nothing.

    Raises SkyctlError.
    """
    raise SkyctlError(
        "a film's kernel runs as plain Python, which it cannot: NUMBA_DISABLE_JIT is set. Unset it."
    )


NOT_KEPT = {**OPTIONS, "cache": False}
"""For what a closure is: what it closes over has no name that the next process would know."""
INLINED = {**NOT_KEPT, "inline": "always"}

"""What compiled loops share: numba's options, and where what they compile to is kept.

numba's own cache watches a kernel's file alone: it would outlive a change of the physics that is
compiled into it, and it lies in the checkout: every clone would begin without one. So ours is in
the user's cache folder, named after the text of all that a kernel is compiled of, wherever that
lies and whenever it was written. The folder may be deleted at any time.
"""

import ast
import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numba

from skyctl.errors import SkyctlError

_Locator: Any = object
_Cache: Any = object
_Listener: Any = object
_numba: Any = None
_locators: list[type] | None = None
try:
    import numba.core.dispatcher
    import numba.core.event
    from numba.core.caching import CacheImpl, _CacheLocator

    _Locator, _locators = _CacheLocator, CacheImpl._locator_classes
    _numba = numba.core
    _Cache, _Listener = _numba.dispatcher.FunctionCache, _numba.event.Listener
except (ImportError, AttributeError):  # another numba: its own cache has to do
    pass

_PACKAGE = "skyctl."
_DAY_S = 86_400
_KEPT_DAYS = 30
_PATIENCE_S, _BETWEEN_S = 120.0, 0.02


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


@cache  # a module is asked for each of its kernels, and parsing takes longest
def _imported(source: bytes) -> list[str]:
    """What of this package a source imports: modules, and names that may be modules."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(_PACKAGE):
            found += [str(node.module), *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.startswith(_PACKAGE)]
    return found


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


class _InTurn(_Cache):
    """numba's cache of one kernel, which processes fill in turn: what one of them compiles, seconds
    long, the others wait for instead of compiling it too."""

    _turn = ""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        kept = super().load_overload(sig, target_context)
        name = f"{self._impl.filename_base} {sig}"
        if kept is None and self._is_ours and _take_turn(name):
            self._turn = name
            kept = super().load_overload(sig, target_context)  # compiled meanwhile?
            if kept is not None:
                self.end_turn()
        return kept

    def save_overload(self, sig: Any, data: Any) -> None:
        index = self._impl.filename_base  # of two who write it at once one would be forgotten
        ours = self._is_ours and _take_turn(index)
        try:
            super().save_overload(sig, data)
        finally:
            if ours:
                _end_turn(index)
            self.end_turn()

    def end_turn(self) -> None:
        """Let the others."""
        if self._turn:
            _end_turn(self._turn)
        self._turn = ""

    @property
    def _is_ours(self) -> bool:
        return isinstance(self._impl.locator, _ByContent)


class _NotCompiled(_Listener):
    """Gives back the turn of a kernel that was interrupted, or cannot be compiled."""

    def on_start(self, event: Any) -> None: ...

    def on_end(self, event: Any) -> None:
        kernel = (event.data or {}).get("dispatcher")
        kept_in = getattr(kernel, "_cache", None)
        # numba's own `is_failed` is true where nothing failed.
        if getattr(event, "_exc_details", None) and isinstance(kept_in, _InTurn):
            kept_in.end_turn()


def _take_turn(name: str) -> bool:
    """Be the one process of this user that is at ``name``; False where that cannot be known, or
    after a wait that no compiler needs. Whoever ends, however, gives all its turns back."""
    due_s = time.monotonic() + _PATIENCE_S
    while (turns := _turns()) is not None and time.monotonic() < due_s:
        try:
            fcntl.lockf(turns, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
        except (BlockingIOError, PermissionError):
            time.sleep(_BETWEEN_S)
        except OSError:  # a file system without locks
            return False
        else:
            return True
    return False


def _end_turn(name: str) -> None:
    if (turns := _turns()) is not None:
        with contextlib.suppress(OSError):
            fcntl.lockf(turns, fcntl.LOCK_UN, 1, _place(name))


@cache
def _turns() -> IO[bytes] | None:
    """A file each of whose bytes is a turn. Never closed: that would give all of them back."""
    try:
        return (cache_folder() / "turns").open("ab")
    except OSError:
        return None


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) // 2


if _locators is not None:
    _locators.insert(0, _ByContent)
    _numba.dispatcher.FunctionCache = _InTurn
    _numba.event.register("numba:compile", _NotCompiled())

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


NOT_KEPT = {**OPTIONS, "cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For what a closure is: what it closes over has no name that the next process would know. Kernels
alone call it: it needs no wrapper for Python, which would be compiled too."""
INLINED = {**NOT_KEPT, "inline": "always"}

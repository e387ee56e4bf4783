"""What compiled loops share: numba's options, and a cache that follows what was compiled in."""

import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import njit

OPTIONS = {
    "error_model": "numpy",
    "fastmath": {"nnan", "ninf", "nsz", "contract", "reassoc"},
    "nogil": True,
    "cache": True,
}
"""error_model: numpy's, or the check for a zero divisor keeps a loop from being vectorised.
fastmath: all but estimates of 1/x and √x, which differ between a vector and the odd sites at its
end: a film would depend on how many threads share it."""
INLINED = {**OPTIONS, "inline": "always"}


def compiled_with(*modules: ModuleType) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel that functions of ``modules`` are part of; its cache is named after them.

    numba's cache watches the kernel's own file alone: it would outlive a change of theirs.
    """
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)

    def compile_kernel(kernel: Callable[..., Any]) -> Any:
        kernel.__qualname__ += f"_{zlib.crc32(sources):08x}"
        return njit(**OPTIONS)(kernel)

    return compile_kernel

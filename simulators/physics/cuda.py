"""What every simulator on a CUDA device needs: the device, and a quiet way to launch on it."""

import warnings
from typing import Any

from numba import cuda
from numba.cuda.core.errors import NumbaPerformanceWarning  # pyright: ignore[reportMissingImports]

from skyctl.errors import DeviceMissing, install


def require_device() -> None:
    """Raise DeviceMissing where numba finds no CUDA GPU, or no CUDA libraries for it."""
    if not cuda.is_available():
        raise DeviceMissing(
            "device cuda: numba finds no CUDA GPU, or not the CUDA libraries it needs. Use "
            f"device='cpu', or, on a machine with an NVIDIA GPU, {install('gpu')}."
        )


def launcher(kernel: Any, grid: Any, block: Any, stream: Any = 0) -> Any:
    """The kernel, to be called with its arguments. That one film is a small grid is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        return kernel[grid, block, stream]

"""ONNX Runtime: a model file opened on the provider asked for and no other; where models ship."""

import importlib.resources
import threading
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import ModelError

_PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}
"""What ONNX Runtime calls each, and its settings."""


def shipped_model(name: str) -> Path:
    """Path of a model that comes with skyctl. Raises ModelError naming those there are."""
    folder = Path(str(importlib.resources.files("skyctl.models")))
    path = folder / f"{name}.onnx"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.onnx"))) or "none"
        raise ModelError(f"shipped model {name!r}: not there. There are: {there}.")
    return path


def open_session(
    content: bytes, path: Path, provider: str, sizes: dict[str, int] | None = None
) -> Any:
    """An ONNX Runtime session of a model file that has been read.

    provider : "cpu" or "cuda", single precision without TensorFloat-32; no silent fall-back
    sizes : by name, those of the graph's free dimensions that are known: what reckons with them is
        done once, here. On CUDA it would count as fallen back to the CPU, and be refused

    Raises ModelError.
    """
    onnxruntime = _onnxruntime()
    if provider not in _PROVIDERS:
        raise ModelError(f"provider {provider!r}: choose one of {', '.join(_PROVIDERS)}")
    wanted, settings = _PROVIDERS[provider]
    if provider == "cuda" and wanted not in onnxruntime.get_available_providers():
        raise ModelError(
            "provider cuda: this onnxruntime has no CUDA. Uninstall onnxruntime and install "
            "skyctl with its extra 'gpu' (both at once remove CUDA silently), or use "
            "--provider cpu."
        )
    options = _options(onnxruntime, provider, sizes or {})
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(wanted, settings)])
    except Exception as error:  # onnxruntime raises its own classes straight from Exception
        raise ModelError(
            f"model {path}: ONNX Runtime cannot load it ({error}). Give a file written by "
            "`skyctl train classifier`."
        ) from error
    if session.get_providers()[0] != wanted:
        raise ModelError(
            f"provider {provider}: ONNX Runtime fell back to {session.get_providers()[0]}. "
            "Check the CUDA libraries, or use --provider cpu."
        )
    return session


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "onnxruntime is not installed: install skyctl with its extra 'cpu', or 'gpu' on a "
            "machine with an NVIDIA GPU"
        ) from error
    return onnxruntime


def _options(onnxruntime: Any, provider: str, sizes: dict[str, int]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    if provider == "cuda":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def run_within(
    seconds: float, session: Any, outputs: list[str], inputs: dict[str, np.ndarray]
) -> Any:
    """One run of a session that is not known yet. Raises TimeoutError where it takes longer."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    late = threading.Event()

    def end() -> None:
        late.set()
        options.terminate = True  # looked at between any two nodes, also inside a loop

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        return session.run(outputs, inputs, options)
    except Exception as error:
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()

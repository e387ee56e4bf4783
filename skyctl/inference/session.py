"""ONNX Runtime: a model file opened on the provider asked for and no other; where models ship."""

import functools
import importlib.resources
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import ModelError, install

_PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}
"""What ONNX Runtime calls each, and its settings."""

_EXTERNAL_WEIGHTS = "session.model_external_initializers_file_folder_path"


def shipped_model(name: str) -> Path:
    """Path of a model that comes with skyctl. Raises ModelError naming those there are."""
    folder = Path(str(importlib.resources.files("skyctl.models")))
    path = folder / f"{name}.onnx"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.onnx"))) or "none"
        raise ModelError(f"shipped model {name!r}: not there. There are: {there}.")
    return path


_LARGEST_FILE = 2**31
"""Bytes; ONNX itself (protobuf) ends there."""
_TRIAL_S = 20.0
"""A step takes a millisecond; a graph may hold a loop that never ends."""


def read_model(path: Path, kind: str, remedy: str) -> bytes:
    """The content of a model file; ``kind`` and ``remedy`` are for the message of the ModelError
    that one raises which cannot be read or is too large to be a model."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE)
    except (OSError, MemoryError) as error:
        why = getattr(error, "strerror", None) or "too large for the memory"
        raise ModelError(f"{kind} {path}: cannot be read ({why}). {remedy}") from error
    if len(content) == _LARGEST_FILE:
        raise ModelError(f"{kind} {path}: 2 GiB or more, which no .onnx file is. {remedy}")
    return content


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
            "provider cuda: this onnxruntime has no CUDA. Uninstall onnxruntime (both at once "
            f"remove CUDA silently) and {install('gpu')}, or use --provider cpu."
        )
    options = _options(onnxruntime, provider, sizes or {})
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(wanted, settings)])
    except Exception as error:  # onnxruntime raises its own classes straight from Exception
        if "external data" in str(error).lower():
            raise ModelError(
                f"model {path}: its weights lie in another file, which no hash of it covers. Save "
                "it in one: onnx.save_model(onnx.load(path), path, save_as_external_data=False)."
            ) from error
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
            f"onnxruntime is not installed: {install('cpu')}; on a machine with an NVIDIA GPU "
            "'gpu' instead of 'cpu'"
        ) from error
    _bound_memory()
    return onnxruntime


@functools.cache
def _bound_memory() -> None:
    """What all graphs of this process may take together: half of the machine's memory.

    A hostile one that asks for more is refused by name instead of having the system end us.
    """
    import onnxruntime

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        onnxruntime.OrtArenaCfg({"max_mem": memory // 2}),
    )  # fmt: skip


def _options(onnxruntime: Any, provider: str, sizes: dict[str, int]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, and said in our words
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Else weights beside a file of that name would come from the current folder, whosever they are.
    options.add_session_config_entry(_EXTERNAL_WEIGHTS, os.devnull)
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    if provider == "cuda":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def only_asked_for() -> Any:
    """Options of a run that computes the outputs it is asked for, and no others."""
    options = _onnxruntime().RunOptions()
    options.only_execute_path_to_fetches = True
    return options


def try_once(session: Any, outputs: list[str], inputs: dict[str, np.ndarray]) -> Any:
    """One run of a session that is not known yet. Raises TimeoutError where it takes too long."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    late = threading.Event()

    def end() -> None:
        late.set()
        options.terminate = True  # looked at between any two nodes, also inside a loop

    timer = threading.Timer(_TRIAL_S, end)
    timer.daemon = True
    timer.start()
    try:
        return session.run(outputs, inputs, options)
    except Exception as error:
        if late.is_set():
            raise TimeoutError(f"no answer within {_TRIAL_S:g} s") from error
        raise
    finally:
        timer.cancel()

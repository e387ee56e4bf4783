"""A model: where an .onnx file lies."""

from importlib.resources import files
from pathlib import Path


def path() -> Path:
    """Here skyctl's own; yours may be Path(__file__).with_name("mine.onnx")."""
    return Path(str(files("skyctl.models") / "skyrmion-process.onnx"))

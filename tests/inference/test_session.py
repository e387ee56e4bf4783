"""A model is one file: what is not in it is not covered by its hash, and not loaded."""

import numpy as np
import pytest

from skyctl.errors import ModelError
from skyctl.inference.model import SHIPPED, MovieClassifier
from skyctl.inference.session import shipped_model


def test_weights_in_another_file_are_refused_wherever_it_lies(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
        model = onnx.load(str(shipped_model(SHIPPED)))
        onnx.save_model(
            model, str(folder / "m.onnx"), save_as_external_data=True, location="m.data",
            size_threshold=1024,
        )  # fmt: skip
    weights = np.fromfile(other / "m.data", np.float32)
    (weights * np.float32(0.3)).tofile(other / "m.data")
    for folder in (home, other, tmp_path):
        monkeypatch.chdir(folder)
        with pytest.raises(ModelError, match=r"weights lie in another file.*Save it in one"):
            MovieClassifier(home / "m.onnx")

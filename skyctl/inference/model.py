"""The classifier's ONNX session: a frame in, probabilities out, the hidden state carried along."""

import hashlib
import importlib.resources
import json
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.belief import Reliability
from skyctl.errors import ModelError
from skyctl.inference import features
from skyctl.inference.features import (
    LEAST_INTERVAL_PS,
    Preprocessing,
    background_level,
    background_sign,
    clock,
    frame_features,
    on_grid,
)
from skyctl.inference.rules import Rules, Validity
from skyctl.process import PROCESS_OF, PROCESSES, TRANSITIONS, transition_probabilities
from skyctl.pulse import Pulse

SHIPPED = "skyrmion-process"
"""Name of the classifier that comes with skyctl."""

_INPUTS = {"features", "hidden"}
_OUTPUTS = {"probabilities", "next_hidden"}
_TRANSITIONS = "transitions"
"""An output that a model may have: what the film was, and what it becomes (`skyctl.process`)."""
_NOVELTY = "novelty"
"""An output that a model may have: how unlike all it has learned from this frame is."""


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of itself.

    threshold : probability from which a class is named, where there are no ``rules``
    rules : when its verdicts may be acted on; None for a model without
    valid : the movies it is made for; None where that is not known
    reliability : how far its verdicts can be trusted
    """

    name: str
    version: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    features: int
    hidden: int
    threshold: float
    data_sha256: str
    file_sha256: str
    rules: Rules | None = None
    valid: Validity | None = None
    reliability: Reliability = field(default_factory=Reliability)


class MovieClassifier:
    """An ONNX Runtime session of the recurrent classifier, and its place in a movie.

    path : the ``.onnx`` file; None is the shipped one
    provider : "cpu" or "cuda"; what the session really got is in ``provider``

    Raises ModelError for a file that is missing, not ONNX, or not such a classifier, and for a
    provider that this machine does not give (there is no silent fall-back).
    """

    def __init__(self, path: Path | str | None = None, provider: str = "cpu") -> None:
        self.path = Path(path) if path else shipped_model(SHIPPED)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"model {self.path}: cannot be read ({error.strerror}). Give the path of an .onnx "
                "file, or leave --model out for the shipped one."
            ) from error
        self.session = open_session(content, self.path, provider)
        self.provider: str = self.session.get_providers()[0]
        self.card = _read_card(self.session, self.path, hashlib.sha256(content).hexdigest())
        _try_one_step(self.session, self.card, self.path)
        there = {output.name for output in self.session.get_outputs()}
        self.outputs = ["probabilities", "next_hidden"]
        self.outputs += [name for name in (_TRANSITIONS, _NOVELTY) if name in there]
        self._probabilities = np.full(len(self.card.classes), 1 / len(self.card.classes))
        self.begin(-np.ones((self._least_pixels, self._least_pixels), np.float32))

    @property
    def _least_pixels(self) -> int:
        return self.card.valid.pixels if self.card.valid else 2

    def begin(self, first: np.ndarray, pulse: Pulse | None = None) -> None:
        """Forget the movie; the next one has this first frame, S_z (H, W).

        The film is turned so that the background of that frame is down.
        pulse : whose movie it is; a model that reads the clock counts from its peak
        """
        self.background = int(background_sign(first))
        self._movie = _Movie(self.card, first, pulse)
        self._hidden = np.zeros((1, self.card.hidden), np.float32)
        self.novelty = -math.inf
        """Of the most foreign frame of the movie so far; -infinity where the model has none."""
        self.transitions = np.full(TRANSITIONS, 1 / TRANSITIONS)
        """What the film was and what it becomes (`skyctl.process`), as of the last frame."""
        self.outside = ""
        """Why the movie is none that the model is valid for, or ""."""
        self._sure_of, self._steady = -1, 0

    def step(self, sz: np.ndarray, time_ps: float = 0.0) -> np.ndarray:
        """Probabilities, (classes,), after one more frame of S_z, (H, W), finite.

        time_ps : of the frame, in the movie. A frame that comes too soon after the last one that
        was looked at (``LEAST_INTERVAL_PS``) is passed over by a model that reads the clock.
        """
        movie = self._movie
        fault, due = movie.admits(sz, time_ps)
        self.outside = self.outside or fault
        if not due:
            return self._probabilities
        outputs = self.session.run(
            self.outputs,
            {"features": movie.features(sz, time_ps)[None], "hidden": self._hidden},
        )
        found = dict(zip(self.outputs, outputs, strict=True))
        self._hidden = found["next_hidden"]
        if _NOVELTY in found:
            self.novelty = max(self.novelty, float(found[_NOVELTY][0, 0]))
        self._probabilities = found["probabilities"][0]
        self.transitions = (
            found[_TRANSITIONS][0]
            if _TRANSITIONS in found
            else transition_probabilities(self.card.classes, self._probabilities)
        )
        self._count_sure()
        return self._probabilities

    def _count_sure(self) -> None:
        """Count the frames in a row that are sure of one transition."""
        best, rules = int(self.transitions.argmax()), self.card.rules
        level = rules.early if rules else None
        sure = level is not None and bool(self.transitions[best] >= level)
        self._steady = self._steady * (best == self._sure_of) + 1 if sure else 0
        self._sure_of = best

    def watch(
        self, images: Iterable[np.ndarray], times_ps: Iterable[float], pulse: Pulse | None = None
    ) -> Iterator[np.ndarray]:
        """Probabilities, (classes,), after each frame of a whole movie; arguments as ``begin``'s
        and ``step``'s."""
        for index, (sz, time_ps) in enumerate(zip(images, times_ps, strict=False)):
            if index == 0:
                self.begin(sz, pulse)
            yield self.step(sz, time_ps)

    @property
    def is_novel(self) -> bool:
        """Whether the movie so far is none the network can know."""
        rules = self.card.rules
        return bool(self.outside) or (rules is not None and not self.novelty <= rules.novelty)

    def label(self, probabilities: np.ndarray) -> str | None:
        """The class that these probabilities name, or None: the network abstains.

        By the model's rules, and then never in a movie that is novel; without rules, the class at
        or above the threshold.
        """
        card = self.card
        if card.rules is None:
            best = int(np.argmax(probabilities))
            return card.classes[best] if probabilities[best] >= card.threshold else None
        named = None if self.is_novel else card.rules.named(probabilities)
        return None if named is None else card.classes[named]

    def may_stop(self, probabilities: np.ndarray, after_peak_ps: float) -> bool:
        """Whether a frame ``after_peak_ps`` after the pulse's peak with these probabilities need
        wait for no other: its class is named, and one transition so likely, in so many frames in a
        row, that the rules let it stand."""
        rules = self.card.rules
        if rules is None or rules.early is None or after_peak_ps < 0:
            return False
        best = int(self.transitions.argmax())
        return (
            bool(self.transitions[best] >= rules.early)
            and self._steady >= rules.steady
            and self.label(probabilities) == PROCESSES[PROCESS_OF[best]]
        )


class _Movie:
    """Where a model is in a movie: what its features depend on beside the frame."""

    def __init__(self, card: ModelCard, first: np.ndarray, pulse: Pulse | None) -> None:
        self._card = card
        self._orientation = -background_sign(first)
        self._clocked = card.preprocessing == "cells"
        self._scale = self._orientation
        if self._clocked:
            self._scale = self._orientation / background_level(on_grid(first))
        self._peak_ps, self._width_ps = (pulse.peak_ps, pulse.width_ps) if pulse else (0.0, 1.0)
        self._before_ps: float | None = None
        self._looked_ps: float | None = None

    def admits(self, sz: np.ndarray, time_ps: float) -> tuple[str, bool]:
        """Why this frame makes the movie none for the model, or "", and whether to look at it."""
        if not self._clocked:
            return "", True
        valid, before = self._card.valid, self._before_ps
        self._before_ps = time_ps
        if before is None:
            fault = valid.refuses_first(sz, time_ps - self._peak_ps) if valid else ""
            return fault, True
        fault = valid.refuses_interval(time_ps - before) if valid else ""
        looked = self._looked_ps
        return fault, looked is None or time_ps - looked >= LEAST_INTERVAL_PS - 1e-6

    def features(self, sz: np.ndarray, time_ps: float) -> np.ndarray:
        """What the network gets of a frame that is looked at, float32 (features,)."""
        card = self._card
        if not self._clocked:
            return frame_features(sz, card.features, card.preprocessing, self._orientation)
        since_ps = 0.0 if self._looked_ps is None else time_ps - self._looked_ps
        self._looked_ps = time_ps
        cells = np.float32(self._scale) * on_grid(sz)
        return np.concatenate(
            [cells.ravel(), clock(time_ps, since_ps, self._peak_ps, self._width_ps)]
        )


class MovieBatch:
    """Many movies side by side, a frame of each in one call: what a GPU is for.

    model : its session and card are used, not its own movie; streams : how many movies

    ``novelty``, (streams,), as ``MovieClassifier.novelty`` of each.
    """

    def __init__(self, model: MovieClassifier, streams: int) -> None:
        self._model = model
        self._movies: list[_Movie | None] = [None] * streams
        self._hidden = np.zeros((streams, model.card.hidden), np.float32)
        self.novelty = np.full(streams, -np.inf)

    def begin(self, stream: int, first: np.ndarray, pulse: Pulse | None = None) -> None:
        """Forget the movie of one stream, as ``MovieClassifier.begin``."""
        self._movies[stream] = _Movie(self._model.card, first, pulse)
        self._hidden[stream] = 0
        self.novelty[stream] = -np.inf

    def step(self, frames: Sequence[np.ndarray | None], time_ps: float = 0.0) -> np.ndarray:
        """Probabilities, (streams, classes), after one more frame of S_z of each, (H, W).

        A stream whose frame is None stays where it is; its probabilities are NaN.
        Raises ValueError for a frame of a stream that was not begun.
        """
        card = self._model.card
        probabilities = np.full((len(self._hidden), len(card.classes)), np.nan, np.float32)
        those, seen = [], []
        for i, (frame, movie) in enumerate(zip(frames, self._movies, strict=True)):
            if frame is None:
                continue
            if movie is None:
                raise ValueError(f"stream {i}: a frame before `begin`")
            those.append(i)
            seen.append(movie.features(frame, time_ps))
        if not those:
            return probabilities
        outputs = self._model.session.run(
            self._model.outputs, {"features": np.stack(seen), "hidden": self._hidden[those]}
        )
        found = dict(zip(self._model.outputs, outputs, strict=True))
        probabilities[those], self._hidden[those] = found["probabilities"], found["next_hidden"]
        if _NOVELTY in found:
            self.novelty[those] = np.maximum(self.novelty[those], found[_NOVELTY][:, 0])
        return probabilities


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
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "onnxruntime is not installed: install skyctl with its extra 'cpu', or 'gpu' on a "
            "machine with an NVIDIA GPU"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    names = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    settings = {"cpu": {}, "cuda": {"use_tf32": "0"}}
    if provider not in names:
        raise ModelError(f"provider {provider!r}: choose one of {', '.join(names)}")
    if provider == "cuda":
        if names["cuda"] not in onnxruntime.get_available_providers():
            raise ModelError(
                "provider cuda: this onnxruntime has no CUDA. Uninstall onnxruntime and install "
                "skyctl with its extra 'gpu' (both at once remove CUDA silently), or use "
                "--provider cpu."
            )
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=[(names[provider], settings[provider])]
        )
    except Exception as error:  # onnxruntime raises its own classes straight from Exception
        raise ModelError(
            f"model {path}: ONNX Runtime cannot load it ({error}). Give a file written by "
            "`skyctl train classifier`."
        ) from error
    if session.get_providers()[0] != names[provider]:
        raise ModelError(
            f"provider {provider}: ONNX Runtime fell back to {session.get_providers()[0]}. "
            "Check the CUDA libraries, or use --provider cpu."
        )
    return session


def _preprocessing(meta: dict[str, str]) -> Preprocessing:
    name = meta["preprocessing"]
    if name != "quantiles" and name != "sorted" and name != "shape" and name != "cells":
        raise ValueError(f"preprocessing {name!r}")
    wanted = features.parameters(name)
    if json.loads(meta.get("preprocessing_parameters", "{}")) != wanted:
        raise ValueError(f"preprocessing_parameters: here {name} has {wanted}")
    return name


def _rules(meta: dict[str, str], classes: tuple[str, ...], has_novelty: bool) -> Rules | None:
    text = meta.get("rules")
    if text is None:
        return None
    rules = Rules.from_json(text)
    if len(rules.least) != len(classes) or not has_novelty:
        raise ValueError(f"rules of {len(rules.least)} classes, or without a novelty to judge")
    return rules


def _reliability(meta: dict[str, str]) -> Reliability:
    if "reliability" not in meta:
        return Reliability()
    plain = json.loads(meta["reliability"])
    return Reliability(**{**plain, "base": tuple(float(p) for p in plain["base"])})


def _classes(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ValueError(f"classes {text}")
    return tuple(names)


_TRIAL_S = 20.0
"""A step takes a millisecond; a graph may hold a loop that never ends."""


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


def _try_one_step(session: Any, card: ModelCard, path: Path) -> None:
    """A graph may have the right names and sizes and still not take a frame."""
    frame = {
        "features": np.zeros((1, card.features), np.float32),
        "hidden": np.zeros((1, card.hidden), np.float32),
    }
    # Compiles the loops of the features, seconds that no movie should wait for.
    blank = -np.ones((50, 50), np.float32)
    if card.preprocessing == "shape":
        frame["features"][0] = frame_features(blank, card.features, "shape")
    elif card.preprocessing == "cells":
        frame["features"][0] = _Movie(card, blank, None).features(blank, 0.0)
    try:
        probabilities, hidden = run_within(
            _TRIAL_S, session, ["probabilities", "next_hidden"], frame
        )
        fits = probabilities.shape == (1, len(card.classes)) and hidden.shape == (1, card.hidden)
        if not fits or not np.isfinite(probabilities).all():
            raise ValueError(f"it gives {probabilities} and a state of shape {hidden.shape}")
    except Exception as error:  # onnxruntime raises its own classes straight from Exception
        raise ModelError(
            f"model {path}: cannot take one frame ({error}). Export it again with "
            "`skyctl train classifier`."
        ) from error


def _read_card(session: Any, path: Path, file_sha256: str) -> ModelCard:
    inputs = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    if set(inputs) != _INPUTS or set(outputs) - {_NOVELTY, _TRANSITIONS} != _OUTPUTS:
        raise ModelError(
            f"model {path}: inputs {sorted(inputs)} and outputs {sorted(outputs)}; a classifier "
            f"step has inputs {sorted(_INPUTS)} and outputs {sorted(_OUTPUTS)}. Export it with "
            "`skyctl train classifier`."
        )
    meta = session.get_modelmeta().custom_metadata_map
    try:
        classes = _classes(meta["classes"])
        card = ModelCard(
            name=meta["name"],
            version=meta["version"],
            classes=classes,
            preprocessing=_preprocessing(meta),
            features=int(meta["features"]),
            hidden=int(meta["hidden"]),
            threshold=float(meta["threshold"]),
            data_sha256=meta["data_sha256"],
            file_sha256=file_sha256,
            rules=_rules(meta, classes, _NOVELTY in outputs),
            valid=Validity.from_json(meta["valid"]) if "valid" in meta else None,
            reliability=_reliability(meta),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"model {path}: its metadata lacks or garbles {error}. Export it with "
            "`skyctl train classifier`."
        ) from error
    sizes = {
        "features": card.features,
        "hidden": card.hidden,
        "probabilities": len(card.classes),
        "next_hidden": card.hidden,
        _NOVELTY: 1,
        _TRANSITIONS: TRANSITIONS,
    }
    for name, shape in {**inputs, **outputs}.items():
        if len(shape) != 2 or shape[1] != sizes[name]:
            raise ModelError(
                f"model {path}: {name} has shape {shape} in its graph and (1, {sizes[name]}) by "
                "its metadata. Export it again with `skyctl train classifier`."
            )
    return card

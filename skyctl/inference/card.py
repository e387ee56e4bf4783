"""Card of a classifier: what its file says of itself, read from the metadata and checked."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyctl.belief import Reliability
from skyctl.errors import ModelError
from skyctl.inference import features
from skyctl.inference.features import Preprocessing
from skyctl.inference.rules import Rules, Validity
from skyctl.process import TRANSITIONS

_INPUTS = {"features", "hidden"}
_OUTPUTS = {"probabilities", "next_hidden"}
TRANSITIONS_OUTPUT = "transitions"
"""An output that a model may have: what the film was, and what it becomes (`skyctl.process`)."""
NOVELTY_OUTPUT = "novelty"
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


def read_card(session: Any, path: Path, file_sha256: str) -> ModelCard:
    """The card of a session's model. Raises ModelError where the file is no such classifier."""
    inputs = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    if set(inputs) != _INPUTS or set(outputs) - {NOVELTY_OUTPUT, TRANSITIONS_OUTPUT} != _OUTPUTS:
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
            rules=_rules(meta, classes, NOVELTY_OUTPUT in outputs),
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
        NOVELTY_OUTPUT: 1,
        TRANSITIONS_OUTPUT: TRANSITIONS,
    }
    for name, shape in {**inputs, **outputs}.items():
        if len(shape) != 2 or shape[1] != sizes[name]:
            raise ModelError(
                f"model {path}: {name} has shape {shape} in its graph and (1, {sizes[name]}) by "
                "its metadata. Export it again with `skyctl train classifier`."
            )
    return card


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

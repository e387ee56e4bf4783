"""A torque network's ONNX session: spins in, the electrons' field on them out."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyctl.errors import ModelError
from skyctl.inference.model import open_session

LATTICE = "triangular, flattened: neighbours at (0, 1), (1, 0), (1, -1)"
_FEWEST_SITES = 5


@dataclass(frozen=True)
class TorqueCard:
    """What a model file says of itself.

    electrons : those it was trained for, in hoppings (``Electrons.as_dict``)
    mean_field : mean perpendicular field of its training states, hoppings
    """

    name: str
    version: str
    architecture: str
    electrons: dict[str, float]
    mean_field: float
    trained_side: int
    data_sha256: str
    file_sha256: str


class TorqueNetwork:
    """An ONNX Runtime session of a torque network; the ``torque`` of a ``TorqueFilm``.

    path : the ``.onnx`` file
    provider : "cpu" or "cuda"; no silent fall-back
    electrons : those it must have been trained for (``Electrons.as_dict``); None: whichever

    Raises ModelError for a file that is missing, not ONNX, not a torque network, or one for another
    lattice or other electrons.
    """

    def __init__(
        self,
        path: Path | str,
        provider: str = "cpu",
        electrons: dict[str, float] | None = None,
    ) -> None:
        self.path = Path(path)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"torque model {self.path}: cannot be read ({error.strerror}). Give the path of an "
                ".onnx file; models.torque_export writes one."
            ) from error
        self.session = open_session(content, self.path, provider)
        self.provider: str = self.session.get_providers()[0]
        self.card = self._read_card(hashlib.sha256(content).hexdigest())
        if electrons is not None and electrons != self.card.electrons:
            raise ModelError(
                f"torque model {self.path}: trained for electrons {self.card.electrons}, not for "
                f"{electrons}. Train one for them."
            )

    def __call__(self, spins: np.ndarray) -> np.ndarray:
        """The perpendicular field on ``spins``, both (3, rows, columns), in hoppings.

        Raises ValueError for another shape, or a side under 5 sites.
        """
        if np.ndim(spins) != 3 or len(spins) != 3 or min(np.shape(spins)[1:]) < _FEWEST_SITES:
            raise ValueError(
                f"spins of shape {np.shape(spins)}: give (3, rows, columns), sides of "
                f"{_FEWEST_SITES} sites or more"
            )
        (field,) = self.session.run(["field"], {"spins": np.asarray(spins, np.float32)})
        return field

    def _read_card(self, file_sha256: str) -> TorqueCard:
        inputs = {i.name for i in self.session.get_inputs()}
        outputs = {o.name for o in self.session.get_outputs()}
        if inputs != {"spins"} or outputs != {"field"}:
            raise ModelError(
                f"torque model {self.path}: inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
                "a torque network takes spins and gives a field. Export it with "
                "models.torque_export."
            )
        meta = self.session.get_modelmeta().custom_metadata_map
        try:
            if meta["lattice"] != LATTICE:
                raise ModelError(
                    f"torque model {self.path}: for another lattice ({meta['lattice']}); a film's "
                    f"is {LATTICE}."
                )
            return TorqueCard(
                name=meta["name"],
                version=meta["version"],
                architecture=meta["architecture"],
                electrons=json.loads(meta["electrons"]),
                mean_field=float(meta["mean_field"]),
                trained_side=int(meta["trained_side"]),
                data_sha256=meta["data_sha256"],
                file_sha256=file_sha256,
            )
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"torque model {self.path}: its metadata are missing or damaged ({error}). Export "
                "it again with models.torque_export."
            ) from error

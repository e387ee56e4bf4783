"""A torque network's ONNX session: spins in, the electrons' field on them out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import ModelError
from skyctl.inference.session import open_session, read_model, try_once

LATTICE = "triangular, flattened: neighbours at (0, 1), (1, 0), (1, -1)"
SHIPPED_TORQUE = "itinerant-torque-equivariant"
"""Name of the shipped network, see ``inference.session.shipped_model``."""
FEWEST_SITES = 8
"""Along a side: a network's widest filter goes once around, no further."""
_LARGEST_SIDE = 4096


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
    provider : "cpu" or "cuda"; no silent fall-back. On CUDA the first spins of another lattice
        than the last ones take a while: ONNX Runtime then prepares for it
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
        remedy = "Give the path of an .onnx file; models.torque_export writes one."
        content = read_model(self.path, "torque model", remedy)
        self.device, self._content = provider, content
        session = open_session(content, self.path, "cpu")
        self.card = self._read_card(session, hashlib.sha256(content).hexdigest())
        self._try_once(session)
        self._prepared: tuple[tuple[int, int] | None, Any] = None, session
        side = max(self.card.trained_side, FEWEST_SITES)
        self.provider: str = self._session(side, side).get_providers()[0]
        if electrons is not None and electrons != self.card.electrons:
            raise ModelError(
                f"torque model {self.path}: trained for electrons {self.card.electrons}, not for "
                f"{electrons}. Train one for them."
            )

    def __reduce__(self) -> tuple[type["TorqueNetwork"], tuple[Path, str]]:
        """Opened again from its file where it is unpickled: a session cannot be sent."""
        return type(self), (self.path.absolute(), self.device)

    def __call__(self, spins: np.ndarray) -> np.ndarray:
        """The perpendicular field on ``spins``, both (3, rows, columns), in hoppings.

        Raises ValueError for another shape, or a side under ``FEWEST_SITES``.
        """
        if np.ndim(spins) != 3 or len(spins) != 3 or min(np.shape(spins)[1:]) < FEWEST_SITES:
            raise ValueError(
                f"spins of shape {np.shape(spins)}: give (3, rows, columns), sides of "
                f"{FEWEST_SITES} sites or more"
            )
        session = self._session(*np.shape(spins)[1:])
        (field,) = session.run(["field"], {"spins": np.asarray(spins, np.float32)})
        return field

    def bind(self, spins: int, field: int, rows: int, columns: int) -> Callable[[], None]:
        """An evaluation that copies nothing: from spins at one address to the field at another.

        spins, field : of float32 (3, rows, columns), in C order, in the memory of ``device``; on
            CUDA that of the first GPU

        What writes the spins must be done when the evaluation is called; when it returns, the field
        is there. Raises ValueError for a side under ``FEWEST_SITES``.
        """
        if min(rows, columns) < FEWEST_SITES:
            raise ValueError(
                f"lattice of {rows} x {columns} sites: give sides of {FEWEST_SITES} or more"
            )
        session = self._session(rows, columns)
        binding = session.io_binding()
        shape = (3, rows, columns)
        binding.bind_input("spins", self.device, 0, np.float32, shape, spins)
        binding.bind_output("field", self.device, 0, np.float32, shape, field)
        return lambda: session.run_with_iobinding(binding)

    def _session(self, rows: int, columns: int) -> Any:
        """The session for a lattice: on the CPU one is for all, on CUDA each has its own."""
        prepared, session = self._prepared
        if self.device == "cpu" or prepared == (rows, columns):
            return session
        sizes = {"rows": rows, "columns": columns}
        session = open_session(self._content, self.path, self.device, sizes)
        self._prepared = (rows, columns), session
        return session

    def _try_once(self, session: Any) -> None:
        """A graph may have the right names and still take no spins, or never answer."""
        spins = np.zeros((3, FEWEST_SITES, FEWEST_SITES), np.float32)
        spins[2] = 1.0
        try:
            (field,) = try_once(session, ["field"], {"spins": spins})
            if field.shape != spins.shape or not np.isfinite(field).all():
                raise ValueError(f"it gives {field.shape}, or what is no number, for {spins.shape}")
        except Exception as error:  # onnxruntime raises its own classes straight from Exception
            raise ModelError(
                f"torque model {self.path}: cannot take one state of a film ({error}). Export it "
                "again with models.torque_export."
            ) from error

    def _read_card(self, session: Any, file_sha256: str) -> TorqueCard:
        inputs = {i.name for i in session.get_inputs()}
        outputs = {o.name for o in session.get_outputs()}
        if inputs != {"spins"} or outputs != {"field"}:
            raise ModelError(
                f"torque model {self.path}: inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
                "a torque network takes spins and gives a field. Export it with "
                "models.torque_export."
            )
        meta = session.get_modelmeta().custom_metadata_map
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
                trained_side=_side(meta["trained_side"]),
                data_sha256=meta["data_sha256"],
                file_sha256=file_sha256,
            )
        except (KeyError, ValueError, RecursionError) as error:
            raise ModelError(
                f"torque model {self.path}: its metadata are missing or damaged ({error}). Export "
                "it again with models.torque_export."
            ) from error


def _side(text: str) -> int:
    """Sites along a side, from a file. Raises ValueError where no film is so large."""
    side = int(text)
    if not 1 <= side <= _LARGEST_SIDE:
        raise ValueError(f"trained_side {side}, not 1 to {_LARGEST_SIDE}")
    return side

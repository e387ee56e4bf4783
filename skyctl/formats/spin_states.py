"""Spins of one layer as a field in a file, and back: units, mesh and empty cells looked at."""

import math
from dataclasses import dataclass

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.ovf import VectorField

_UNITLESS = ("", "1", "none", "unspecified", "-")
_A_PER_M = {"a/m": 1.0, "ka/m": 1e3, "ma/m": 1e6}
_NM = {"m": 1e9, "mm": 1e6, "um": 1e3, "µm": 1e3, "nm": 1.0}
_WEAKEST_MAGNET_A_PER_M = 100.0
_SAME = 1e-3
"""By how much lengths may differ, relatively: files have as few as four digits."""


@dataclass(frozen=True)
class SpinState:
    """One layer of spins.

    spins : (3, rows, columns) unit vectors, 0 where there is no magnet
    lattice_nm : from one site to the next, None where the file does not say
    saturation_A_per_m : None of a file that has unit vectors
    """

    spins: np.ndarray
    lattice_nm: float | None = None
    saturation_A_per_m: float | None = None

    @property
    def sites(self) -> np.ndarray:
        """(rows, columns), where there is a magnet."""
        return np.asarray(self.spins.any(axis=0))


def spins_of(field: VectorField, layer: int | None = None) -> SpinState:
    """The spins of a field; ``layer`` is needed where it has several.

    Raises FormatError for a field that is no magnetisation of one length on square cells.
    """
    layers, _, _, components = field.values.shape
    if components != 3:
        raise FormatError(
            f"valuedim {components}: spins have 3 components. Give a file of the magnetisation."
        )
    if layer is None and layers != 1:
        raise FormatError(f"holds {layers} layers: say which one (0 to {layers - 1}; --layer)")
    if layer is not None and not 0 <= layer < layers:
        raise FormatError(f"layer {layer}: it has {layers}, the first is 0")
    vectors = np.moveaxis(field.values[layer or 0].astype(np.float64), -1, 0)
    if not np.isfinite(vectors).all():
        raise FormatError("holds a NaN or an infinity")
    lengths = np.linalg.norm(vectors, axis=0)
    saturation = _saturation(lengths, _unit(field.units))
    spins = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return SpinState(spins, _lattice_nm(field), saturation)


def field_of(state: SpinState, title: str = "m") -> VectorField:
    """The field of a state: unit vectors, on cells as large as its lattice constant.

    The cells of a state that does not know it are 1 "unspecified" wide.
    """
    values = np.moveaxis(state.spins, 0, -1)[None]
    # Divided: 0.271 / 1e9 is the number next to 0.271e-9, 0.271 * 1e-9 is not always.
    step, unit = (state.lattice_nm / 1e9, "m") if state.lattice_nm else (1.0, "unspecified")
    return VectorField(
        values, (step, step, step), (step / 2, step / 2, step / 2), unit, ("1", "1", "1"),
        ("m_x", "m_y", "m_z"), title,
    )  # fmt: skip


def _unit(units: tuple[str, ...]) -> str:
    if len(set(units)) > 1:
        raise FormatError(f"valueunits {' '.join(units)}: give components in one unit")
    return units[0].lower() if units else ""


def _saturation(lengths: np.ndarray, unit: str) -> float | None:
    """The length of the magnetisation, A/m; None for unit vectors."""
    magnet = lengths[lengths > 0]
    if not magnet.size:
        raise FormatError("holds no magnetisation: every vector is 0")
    shortest, longest = float(magnet.min()), float(magnet.max())
    if unit in _UNITLESS:
        if max(longest - 1, 1 - shortest) > _SAME:
            raise FormatError(
                f"is without unit and holds vectors of length {shortest:g} to {longest:g}, which "
                "are no unit vectors. Say their unit: skyctl convert FILE NEW.ovf --unit A/m."
            )
        return None
    if unit not in _A_PER_M:
        raise FormatError(f"valueunits {unit!r}: give unit vectors, or a magnetisation in A/m")
    if longest * _A_PER_M[unit] < _WEAKEST_MAGNET_A_PER_M:
        raise FormatError(
            f"says {unit} and holds vectors of length {longest:g}, as unit vectors are. Say what "
            "they are: skyctl convert FILE NEW.ovf --unit 1."
        )
    if longest - shortest > _SAME * longest:
        raise FormatError(
            f"holds magnetisations of {shortest:g} to {longest:g} {unit}: several materials, and a "
            "film here is of one"
        )
    return float(np.median(magnet)) * _A_PER_M[unit]


def _lattice_nm(field: VectorField) -> float | None:
    x, y, _ = field.step
    if not math.isclose(x, y, rel_tol=1e-6):
        raise FormatError(f"has cells of {x:g} x {y:g} {field.mesh_unit}: a film needs square ones")
    scale = _NM.get(field.mesh_unit.lower())
    return float(f"{x * scale:.12g}") if scale and x > 0 else None

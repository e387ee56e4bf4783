"""What a spin texture is: topological charge, the state of a film, and the label of a movie."""

from typing import Any

import numpy as np
from scipy import ndimage

BREATHING, SWITCHING, COLLAPSE = "breathing", "switching", "collapse"
NUCLEATION, NOTHING, MIXED = "nucleation", "nothing", "mixed"
EMPTY, ONE, OTHER = "empty", "one", "other"

_CHARGE_TOLERANCE = 0.3
_UNIFORM_SZ = 0.85


def topological_charge(spins: np.ndarray) -> float:
    """Topological charge Q of a film, by the solid angles of its triangles.

    spins : (3, H, W), unit vectors. Each square of four sites is two triangles; an open edge is
    not closed, so that one skyrmion in a film with an edge twist has |Q| near 0.94, not 1.
    Source: B. Berg and M. Lüscher, Nucl. Phys. B 190, 412 (1981).
    """
    s = np.moveaxis(np.asarray(spins, dtype=np.float64), 0, -1)
    a, b, c, d = s[:-1, :-1], s[:-1, 1:], s[1:, 1:], s[1:, :-1]
    return float((_solid_angle(a, b, c) + _solid_angle(a, c, d)).sum() / (4 * np.pi))


def _solid_angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    triple = np.einsum("...i,...i", a, np.cross(b, c))
    dots = (
        1
        + np.einsum("...i,...i", a, b)
        + np.einsum("...i,...i", b, c)
        + np.einsum("...i,...i", c, a)
    )
    return 2 * np.arctan2(triple, dots)


def film_truth(spins: np.ndarray) -> tuple[str, int]:
    """What a settled film is: EMPTY, ONE (skyrmion) or OTHER, and its background, +1 or -1.

    spins : (3, H, W), unit vectors without camera or noise

    Charge and picture must agree: |Q| near 0 where the film looks empty, near 1 where it shows one
    disc. So domains whose charges add up to 0 or 1 are other, and so is a skyrmion with a domain
    beside it.

    This is the simulator's truth: for reports, training and tests, never for a decision.
    """
    picture, background = film_picture(np.asarray(spins)[2])
    charge = {EMPTY: 0, ONE: 1}.get(picture, np.nan)
    agreed = abs(abs(topological_charge(spins)) - charge) < _CHARGE_TOLERANCE
    return picture if agreed else OTHER, background


def film_picture(sz: np.ndarray) -> tuple[str, int]:
    """What a settled film looks like, as ``film_truth`` but from S_z (H, W) alone.

    Empty: no site reversed. One: the reversed sites are a single island (4-connected) that touches
    no edge and has no hole.
    """
    background = 1 if np.median(sz) > 0 else -1
    reversed_ = np.asarray(sz * background < 0)
    if not reversed_.any():
        return EMPTY, background
    return ONE if _is_one_disc(reversed_) else OTHER, background


def _is_one_disc(reversed_: np.ndarray) -> bool:
    """One island, inside, without a hole: what surrounds it is in one piece with every edge."""
    islands: Any = ndimage.label(reversed_)
    around: Any = ndimage.label(~reversed_, np.ones((3, 3)))
    edges = (reversed_[0], reversed_[-1], reversed_[:, 0], reversed_[:, -1])
    return islands[1] == 1 and around[1] == 1 and not any(edge.any() for edge in edges)


def process_label(before: np.ndarray, after: np.ndarray) -> str:
    """Name the process between two relaxed states, each (3, H, W), from topology.

    From a film with one skyrmion: *breathing* keeps Q and the sign of <S_z>, *switching* reverses
    both, *collapse* leaves |Q| near 0 and |<S_z>| > 0.85. From an empty film: *nucleation* leaves
    one skyrmion, *nothing* leaves none. Everything else is *mixed*.

    This is the simulator's truth: for reports, training and tests, never for a decision.
    """
    q0, q1 = topological_charge(before), topological_charge(after)
    m0, m1 = float(np.mean(before[2])), float(np.mean(after[2]))
    empty_after = abs(q1) < _CHARGE_TOLERANCE and abs(m1) > _UNIFORM_SZ
    one_after = abs(abs(q1) - 1) < _CHARGE_TOLERANCE
    if abs(q0) < _CHARGE_TOLERANCE and abs(m0) > _UNIFORM_SZ:
        return NUCLEATION if one_after else NOTHING if empty_after else MIXED
    if abs(abs(q0) - 1) >= _CHARGE_TOLERANCE:
        return MIXED
    if empty_after:
        return COLLAPSE
    if one_after and abs(q1 - q0) < _CHARGE_TOLERANCE and m0 * m1 > 0:
        return BREATHING
    if one_after and abs(q1 + q0) < _CHARGE_TOLERANCE and m0 * m1 < 0:
        return SWITCHING
    return MIXED

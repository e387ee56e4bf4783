"""What a spin texture is: topological charge, the state of a film, and the label of a movie."""

from typing import Any

import numpy as np
from scipy import ndimage

from skyctl.process import BREATHING, MIXED, Kind, process_of

_CHARGE_TOLERANCE = 0.3
_ALONG_Z = 0.5
"""Least |S_z| of a background; a film that lies in its plane has none."""


def topological_charge(spins: np.ndarray, periodic: bool = False) -> float:
    """Topological charge Q of a film, by the solid angles of its triangles.

    spins : (3, H, W), unit vectors. Each square of four sites is two triangles; an open edge is
    not closed, so that one skyrmion in a film with an edge twist has |Q| near 0.94, not 1. Of a
    ``periodic`` film the squares across its edges count, too, and Q is an integer.
    Source: B. Berg and M. Lüscher, Nucl. Phys. B 190, 412 (1981).
    """
    if periodic:
        spins = np.pad(spins, ((0, 0), (0, 1), (0, 1)), mode="wrap")
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


def film_truth(spins: np.ndarray, periodic: bool = False) -> tuple[Kind, int]:
    """What a settled film is (`skyctl.process.KINDS`), and its background, +1 or -1.

    spins : (3, H, W), unit vectors without camera or noise, 0 where there is no site; a
        ``periodic`` film has no edge, and is what it is wherever its sites are counted from

    Charge and picture must agree. Empty: |Q| near 0 and no site reversed. One: |Q| near 1 and the
    reversed sites are a single island (4-connected) that touches no edge and has no hole. So
    domains whose charges add up to 0 or 1 are other, and so is a skyrmion with a domain beside it.

    This is the simulator's truth: for reports, training and tests, never for a decision.
    """
    there = np.asarray(np.asarray(spins).any(axis=0))
    sz = np.asarray(spins)[2]
    level = float(np.median(sz[there]))
    background = 1 if level > 0 else -1
    charge = abs(topological_charge(spins, periodic))
    reversed_ = np.asarray(sz * background < 0)
    if abs(level) < _ALONG_Z:
        return "other", background
    if not reversed_.any():
        return ("empty" if charge < _CHARGE_TOLERANCE else "other"), background
    if periodic:
        reversed_, there = _cut_open(reversed_, there)
    one = abs(charge - 1) < _CHARGE_TOLERANCE and _is_one_disc(reversed_, there)
    return ("one" if one else "other"), background


def _cut_open(reversed_: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A periodic film cut along a row and a column where nothing is reversed, if there are such."""
    row, column = int(reversed_.any(1).argmin()), int(reversed_.any(0).argmin())
    cut = np.roll(np.stack([reversed_, there]), (-row, -column), (1, 2))
    # The cut's sites on both sides of it.
    reversed_, there = np.pad(cut, ((0, 0), (0, 1), (0, 1)), mode="wrap")
    return reversed_, there


def _is_one_disc(reversed_: np.ndarray, there: np.ndarray) -> bool:
    """One island, inside, without a hole: what surrounds it is in one piece with every edge.

    A site that is not there and lies in the island makes no hole in it: a skyrmion on a vacancy.
    """
    islands: Any = ndimage.label(reversed_)
    # The world around the film is one piece with what is cut off its rim.
    rest = np.pad(~reversed_, 1, constant_values=True)
    missing: Any = ndimage.label(~np.pad(there, 1))
    parts: Any = ndimage.label(rest, np.ones((3, 3)))
    outside, around = missing[0], parts[0]
    pieces = np.unique(around[rest & (np.pad(there, 1) | (outside == outside[0, 0]))])
    touches = ndimage.binary_dilation(outside == outside[0, 0])[1:-1, 1:-1] & reversed_
    return islands[1] == 1 and len(pieces) == 1 and not touches.any()


def process_label(before: np.ndarray, after: np.ndarray, periodic: bool = False) -> str:
    """Name the process between two settled states, each (3, H, W), as arXiv:1907.01814 does.

    What the film was and is decides (`film_truth`, `skyctl.process.process_of`), with one addition:
    a skyrmion that kept its charge and the film its background *breathes*, also where the pulse
    left a domain at an edge. With open edges most of the paper's breathing does; the loop, which
    has to remove the domain, calls such a film something else.

    This is the simulator's truth: for reports, training and tests, never for a decision.
    """
    (start, sign), (end, sign_after) = film_truth(before, periodic), film_truth(after, periodic)
    if start == "one" and end != "empty":
        before_q, after_q = (topological_charge(spins, periodic) for spins in (before, after))
        kept = abs(after_q - before_q * (1 if sign == sign_after else -1)) < _CHARGE_TOLERANCE
        if end == "one" and not kept:  # of the other handedness
            return MIXED
        if end == "other" and kept and sign == sign_after:
            return BREATHING
    return process_of(start, end, sign != sign_after)

"""What an S_z camera sees of a film: reversed discs, counted and told from domains."""

from typing import Any

import numpy as np
from scipy import ndimage

from skyctl.inference.features import background_sign
from skyctl.verdict import FilmState

_SMALLEST_SHARE = 9e-4


def smallest_disc(pixels: int) -> int:
    """Pixels of the smallest reversed island that is not taken for noise.

    A share of the image, 9 of 100 × 100 sites (the film's relaxed skyrmion has about 50), so that
    binning does not hide a skyrmion. Where a pixel is about as large as one (25 × 25), that is a
    single pixel, which a hot one would look like.
    """
    return max(1, round(_SMALLEST_SHARE * pixels))


def film_state(sz: np.ndarray) -> FilmState:
    """Count the reversed discs of a film, from S_z (H, W), finite.

    An island is a 4-connected region that points against the background. It is a disc when it
    touches no edge of the image and has no hole; otherwise a domain.
    """
    background = background_sign(sz)
    reversed_ = np.asarray(sz * background < 0)
    found: Any = ndimage.label(reversed_)
    labels, count = found
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    smallest = smallest_disc(sz.size)
    discs = domains = 0
    for island, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[island] < smallest:
            continue
        touches_edge = any(
            side.start == 0 or side.stop == length
            for side, length in zip(box, sz.shape, strict=True)
        )
        shape = labels[box] == island
        filled: Any = ndimage.binary_fill_holes(shape)
        has_hole = not np.array_equal(filled, shape)
        if touches_edge or has_hole:
            domains += 1
        else:
            discs += 1
    return FilmState(
        background=int(background),
        discs=discs,
        domains=domains,
        reversed_sites=int(reversed_.sum()),
    )

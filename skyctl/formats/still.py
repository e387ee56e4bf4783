"""One image of a film, from whatever file: spins, or grey levels of one component."""

from pathlib import Path

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.movies import read_png
from skyctl.formats.ovf import SUFFIXES, read_ovf
from skyctl.formats.spin_states import spins_of


def read_still(path: Path) -> np.ndarray:
    """Spins (3, rows, columns) of an OVF file or an array, or one component (rows, columns) of an
    array (.npy) or of a grey picture (.png): black is -1, white +1, and the lowest row is y = 0, as
    in all that is drawn here.

    Raises FormatError for another file or array, OSError where it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return spins_of(read_ovf(path)).spins
    if suffix == ".png":
        levels = read_png(path)
        white = 255 if levels.dtype == np.uint8 else 65535
        return 2.0 * levels[::-1] / white - 1
    if suffix != ".npy":
        raise FormatError(
            f"state {path}: give spins (.ovf, .omf, .npy), or one component (.npy, grey .png)"
        )
    try:
        image = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(f"state {path}: no numpy array, or damaged ({error})") from error
    if image.dtype.kind not in "uif" or image.ndim not in (2, 3):
        raise FormatError(
            f"state {path}: an array of {image.dtype}, {image.shape}: give numbers of (3, rows, "
            "columns), or of (rows, columns) for one component"
        )
    return image

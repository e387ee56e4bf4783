"""A film's state in whatever file a name asks for: ours (HDF5), or OVF for other programs."""

from pathlib import Path

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.ovf import SUFFIXES, read_ovf
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of, spins_of
from skyctl.simulators.lattice.files import check_target, save_film
from skyctl.simulators.lattice.film import Film

FILM_SUFFIXES = (".h5", ".hdf5")
"""What our own files are called: they hold the parameters and the noise as well."""


def is_ovf(path: Path) -> bool:
    """Whether a name is that of an OVF file."""
    return path.suffix.lower() in SUFFIXES


def check_state_target(path: Path) -> None:
    """Raise ValueError unless a name says what to write, OSError unless it can be written."""
    if not is_ovf(path) and path.suffix.lower() not in FILM_SUFFIXES:
        raise ValueError(
            f"{path}: its name does not say what to write. End it in .h5 (the whole film, to go on "
            f"as if never stopped) or in {', '.join(SUFFIXES)} (its spins, for other programs)."
        )
    check_target(path)


def save_state(film: Film, path: Path) -> None:
    """Write a film: all of it as HDF5, its spins alone as OVF 2.0, by the name.

    The values of an OVF file are binary and as precise as the film. Raises as
    ``check_state_target``.
    """
    check_state_target(path)
    if is_ovf(path):
        write_ovf(path, [field_of(SpinState(film.spins, film.parameters.lattice_nm))])
    else:
        save_film(film, path)


def read_state(path: Path, layer: int | None = None) -> SpinState:
    """The spins of an OVF file, with the sites that it has.

    Raises FileNotFoundError, FormatError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"film {path}: no such file")
    try:
        return spins_of(read_ovf(path), layer)
    except FormatError as error:
        raise FormatError(f"{path}: {str(error).removeprefix(f'OVF {path}: ')}") from error


def sites_or_none(state: SpinState) -> np.ndarray | None:
    """The sites of a state as ``Film`` takes them: None where none is missing."""
    return None if state.sites.all() else state.sites

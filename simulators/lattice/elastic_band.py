"""Paths of least energy from one state of a film to another: a geodesic nudged elastic band.

P. F. Bessarab, V. M. Uzdin and H. Jónsson, Comput. Phys. Commun. 196, 335 (2015). Images of the
film are strung from the first state to the last; each goes downhill across the path, springs keep
them apart along it, and the highest may climb to the saddle (G. Henkelman, B. P. Uberuaga and
H. Jónsson, J. Chem. Phys. 113, 9901 (2000)).
"""

from dataclasses import dataclass

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters, effective_field_T, energies_meV

_STEP = 0.5
"""Of the optimiser, in periods of the stiffest motion; from 1 on it is not stable."""
_SPRING = 0.25
"""Of the stiffest motion's."""
_TILT = 1e-3
"""rad, by which states that are opposite are set apart: between them no way is the shortest."""


@dataclass(frozen=True)
class Path:
    """A path of least energy.

    spins : (images, 3, rows, columns), the first and the last the given states
    energies_meV : (images,); distances : (images,) geodesic length along the path, rad
    steps : that it took; torque_T : the largest, across the path, that is left
    """

    spins: np.ndarray
    energies_meV: np.ndarray
    distances: np.ndarray
    steps: int
    torque_T: float

    @property
    def saddle(self) -> int:
        """The image of highest energy."""
        return int(self.energies_meV.argmax())

    @property
    def barrier_meV(self) -> float:
        """From the first state to the saddle."""
        return float(self.energies_meV[self.saddle] - self.energies_meV[0])


def least_energy_path(
    parameters: FilmParameters,
    first: np.ndarray,
    last: np.ndarray,
    *,
    images: int = 24,
    tolerance_T: float = 1e-2,
    most_steps: int = 10_000,
    anisotropy_map: np.ndarray | None = None,
    through: np.ndarray | None = None,
) -> Path:
    """The path between two states (3, rows, columns), each best relaxed, that costs least.

    images : how many, both ends counted
    through : (images, 3, rows, columns), a path to begin with; left out, every spin takes the
        shortest way

    Once the path lies still, or after a tenth of the steps, the highest image climbs. A path that
    is too coarse near its saddle has a kink there and does not come to rest: give more images.

    Raises ValueError for states of another shape, the same state twice, and fewer than three
    images; RuntimeError where ``tolerance_T`` is not reached.
    """
    spins = _begun(parameters, first, last, images) if through is None else np.array(through)
    stiffest_T = _stiffest_T(parameters)
    step = _STEP / np.sqrt(stiffest_T)
    velocity = np.zeros_like(spins[1:-1])
    climbing, torque = False, np.inf
    for taken in range(most_steps):
        energies = energies_meV(parameters, spins, anisotropy_map)
        tangent, stretch = _tangents(spins, energies)
        field = effective_field_T(parameters, spins[1:-1], anisotropy_map)
        force = _across(field, spins[1:-1])
        along = _dot(force, tangent)[:, None, None, None] * tangent
        force = force - along
        if climbing:
            top = int(energies[1:-1].argmax())
            force[top] -= along[top]
        torque = float(np.linalg.norm(force, axis=1).max())
        if torque < tolerance_T:
            if climbing:
                return Path(spins, energies, _distances(spins), taken, torque)
            climbing = True
        climbing = climbing or taken >= most_steps // 10
        force = force + _SPRING * stiffest_T * _springs(stretch) * tangent
        # Velocity projection: what goes against the force is stopped.
        velocity = _across(velocity, spins[1:-1])
        power = _dot(velocity, force)
        kept = np.where(power > 0, power / np.maximum(_dot(force, force), 1e-300), 0.0)
        velocity = kept[:, None, None, None] * force + step * force
        moved = spins[1:-1] + step * velocity
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        spins[1:-1] = moved / np.where(lengths > 0, lengths, 1.0)
    raise RuntimeError(
        f"path of {images} images: still pulled by {torque:.1e} T after {most_steps} steps; give "
        f"more images, more steps, or a tolerance above {tolerance_T:g} T"
    )


def _stiffest_T(p: FilmParameters) -> float:
    """An upper bound of the energy's second derivative, in units of the moment."""
    couplings = 8 * np.hypot(p.exchange_meV, np.hypot(p.dmi_meV, p.interfacial_dmi_meV))
    inner = couplings + 2 * abs(p.anisotropy_meV)
    return float(inner / p.moment_meV_per_T + np.linalg.norm(p.bias_T)) or 1.0


def _begun(p: FilmParameters, first: np.ndarray, last: np.ndarray, images: int) -> np.ndarray:
    ends = np.asarray(first, float), np.asarray(last, float)
    for state in ends:
        if state.shape != (3, p.rows, p.columns):
            raise ValueError(
                f"state of shape {state.shape}: this film needs {(3, p.rows, p.columns)}"
            )
    if images < 3:
        raise ValueError(f"images = {images}: give three or more")
    if np.allclose(*ends, atol=1e-9):
        raise ValueError("the first and the last state are the same: there is no path")
    return between(*ends, np.linspace(0, 1, images))


def between(first: np.ndarray, last: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(shares, 3, rows, columns): every spin on the shortest way, so far of it; where first and
    last are opposite, by way of the x axis, or y."""
    axis = np.cross(first, last, axis=0)
    sine, cosine = np.linalg.norm(axis, axis=0), (first * last).sum(axis=0)
    opposite = (sine < _TILT) & (cosine < 0)
    aside = np.where(np.abs(first[0]) < 0.9, 0, 1)
    helper = np.stack([aside == 0, aside == 1, np.zeros_like(aside, bool)]).astype(float)
    turned = np.cross(first, helper, axis=0)
    axis = np.where(opposite, turned, axis)
    length = np.linalg.norm(axis, axis=0)
    axis = axis / np.where(length > 0, length, 1.0)
    angle = np.where(opposite, np.pi, np.arctan2(sine, cosine))
    part = shares[:, None, None, None] * angle
    states = first * np.cos(part) + np.cross(axis, first, axis=0) * np.sin(part)
    states[shares == 1] = last
    return states


def _tangents(spins: np.ndarray, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit tangents of the inner images, and the (images - 1) lengths between images."""
    back, ahead = spins[1:-1] - spins[:-2], spins[2:] - spins[1:-1]
    here, before, after = energies[1:-1], energies[:-2], energies[2:]
    most = np.maximum(abs(after - here), abs(before - here))
    least = np.minimum(abs(after - here), abs(before - here))
    rising = (after > here) & (here > before)
    falling = (after < here) & (here < before)
    forward = np.where(rising, 1.0, np.where(falling, 0.0, np.where(after > before, most, least)))
    backward = np.where(rising, 0.0, np.where(falling, 1.0, np.where(after > before, least, most)))
    shape = (slice(None), None, None, None)
    tangent = forward[shape] * ahead + backward[shape] * back
    tangent = _across(tangent, spins[1:-1])
    length = np.sqrt(_dot(tangent, tangent))
    lengths = np.diff(_distances(spins))
    return tangent / np.where(length > 0, length, 1.0)[shape], lengths


def _springs(lengths: np.ndarray) -> np.ndarray:
    return (lengths[1:] - lengths[:-1])[:, None, None, None]


def _distances(spins: np.ndarray) -> np.ndarray:
    """(images,) length of the path so far: the root of all spins' angles squared."""
    a, b = spins[:-1], spins[1:]
    sine, cosine = np.linalg.norm(np.cross(a, b, axis=1), axis=1), (a * b).sum(axis=1)
    each = np.sqrt((np.arctan2(sine, cosine) ** 2).sum(axis=(1, 2)))
    return np.concatenate([[0.0], each.cumsum()])


def _across(vectors: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """What of them does not change a spin's length."""
    return vectors - (vectors * spins).sum(axis=1, keepdims=True) * spins


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=(1, 2, 3))

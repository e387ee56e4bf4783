"""States of films that a network draws: places for skyrmions in, a spin at every site out.

Places come from a repulsion (``simulators.lattice.places``), so their number is what was asked for
and their order is chosen; a convolutional decoder makes spins of them, for films of any size. It
learned one film, at several fields; what a film looks like depends on B J/D² alone, lengths being
measured in its helix's period, so other films are drawn on the decoder's grid and read off theirs.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from skyctl.errors import ModelError
from skyctl.inference.session import open_session, read_model, try_once
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.ground_states import helix_period
from skyctl.simulators.lattice.monte_carlo import FilmArrays, MonteCarlo, downhill
from skyctl.simulators.lattice.places import apart
from skyctl.simulators.physics import llg

SHIPPED_GENERATOR = "skyrmion-states"
"""Name of the shipped network, see ``inference.session.shipped_model``."""
STRIDE = 2
"""Sites of the decoder's film along a pixel of its input."""
WIDTHS = (1.5, 3.0, 6.0)
"""Of the bells by which the input tells of places, sites of the decoder's film."""
FEWEST_PERIODS = 2.0
RELAXED_BY = 50
"""Sweeps downhill after the network, unless another number is asked for."""
_BEYOND = 1.9
HEATED_BY = 200
"""Sweeps of Monte Carlo at a temperature."""
_LARGEST_SIDE = 4096
_MOST_ORDER = 100_000
BEST_ORDER = 400
"""Steps of repulsion of well ordered states."""
_TILTED_T = 1e-9
_ROUNDING = 1e-9


@dataclass(frozen=True)
class GeneratorCard:
    """What a model file says of itself.

    dmi : D/J of the film that it learned; lengths are that film's sites
    fields : B J/D² that it saw, lowest and highest; the others by field, between them linearly:
    density : skyrmions a site of annealed films, and of the best ordered ones
    scatter : standard deviation of an annealed film's number, of one with one skyrmion
    order : steps of repulsion that make as much order as annealing
    hottest : k_BT/J up to which states keep their skyrmions
    """

    name: str
    version: str
    dmi: float
    fields: tuple[float, ...]
    density: tuple[float, ...]
    best_density: tuple[float, ...]
    scatter: float
    order: int
    hottest: float
    trained_side: int
    data_sha256: str
    file_sha256: str

    def density_at(self, field: float, best: bool) -> float:
        """Skyrmions a site of the decoder's film."""
        known = self.best_density if best else self.density
        return float(np.interp(field, self.fields, known))


def maps(places: np.ndarray, rows: int, columns: int, field: float) -> np.ndarray:
    """What the decoder is told, (1 + len(WIDTHS), rows/STRIDE, columns/STRIDE) float32.

    places : (number, 2) as (x, y), sites of a periodic film of rows × columns, both even
    """
    shape = rows // STRIDE, columns // STRIDE
    out = np.empty((1 + len(WIDTHS), *shape), np.float32)
    out[0] = field
    middle = (STRIDE - 1) / 2
    away = [
        _wrapped(STRIDE * np.arange(pixels)[:, None] + middle - places[:, axis], side)
        for pixels, axis, side in ((shape[0], 1, rows), (shape[1], 0, columns))
    ]
    for k, width in enumerate(WIDTHS, 1):
        down, across = (np.exp(-((d / width) ** 2) / 2) for d in away)
        out[k] = down @ across.T
    return out


def _wrapped(distance: np.ndarray, side: int) -> np.ndarray:
    return (distance + side / 2) % side - side / 2


def scaled_field(p: FilmParameters) -> float:
    """B J/D² of a film, μB for B: what its states depend on, lengths aside."""
    dmi = np.hypot(p.dmi_meV, p.interfacial_dmi_meV)
    return float(abs(p.bias_T[2]) * p.moment_meV_per_T * p.exchange_meV / dmi**2)


class StateGenerator:
    """An ONNX Runtime session of a decoder, and all that draws states with it.

    path : the ``.onnx`` file

    Raises ModelError for a file that is missing, not ONNX, or no generator.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        remedy = "Give the path of an .onnx file; `skyctl train generator` writes one."
        content = read_model(self.path, "generator", remedy)
        self._session = open_session(content, self.path, "cpu")
        self.card = self._read_card(hashlib.sha256(content).hexdigest())
        self._try_once()

    def draw(
        self,
        parameters: FilmParameters,
        count: int,
        *,
        number: int | None = None,
        as_annealed: bool = False,
        order: int | None = None,
        temperature_K: float = 0.0,
        relax: int = RELAXED_BY,
        seed: int = 0,
    ) -> np.ndarray:
        """States (count, 3, rows, columns) of a film, unit vectors.

        number : of skyrmions; left out, the best one for the film, or with ``as_annealed`` one of
            those that annealing leaves
        order : steps of the repulsion between them; left out, 400, or with ``as_annealed`` what
            makes as much disorder as annealing leaves
        temperature_K : above 0, Monte Carlo at it follows
        relax : sweeps downhill after the network, 0 or more

        Raises ValueError for a film, field, number or temperature that it does not know.
        """
        self.check(parameters, temperature_K)
        places = self.places(
            parameters, count, number=number, as_annealed=as_annealed, order=order, seed=seed
        )
        spins = self.states_at(parameters, places, relax)
        if temperature_K > 0:
            films = MonteCarlo(parameters, count, seed=seed)
            films.spins = spins
            films.sweep(HEATED_BY, temperature_K)
            spins = films.spins.astype(np.float64)
        return spins

    def places(
        self,
        parameters: FilmParameters,
        count: int,
        *,
        number: int | None = None,
        as_annealed: bool = False,
        order: int | None = None,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """Where the skyrmions of ``draw`` are: for each state (number, 2) as (x, y), sites."""
        p = parameters
        self.check(p)
        order = (self.card.order if as_annealed else BEST_ORDER) if order is None else order
        if count < 1 or seed < 0 or not 0 <= order <= _MOST_ORDER:
            raise ValueError(
                f"{count} states, seed {seed}, {order} steps of order: give 1 or more, 0 or more, "
                f"0 to {_MOST_ORDER}"
            )
        rng = np.random.default_rng(seed)
        numbers = [self._number(p, number, as_annealed, rng) for _ in range(count)]
        return [apart(n, p.rows, p.columns, p.periodic, order, rng) for n in numbers]

    def states_at(self, p: FilmParameters, places: list[np.ndarray], relax: int = 0) -> np.ndarray:
        """States with skyrmions at given places, each (number, 2) as (x, y), sites.

        Raises as ``draw``.
        """
        self.check(p)
        if relax < 0:
            raise ValueError(f"{relax} sweeps downhill: give 0 or more")
        spins = np.stack([self.decoded(p, some) for some in places])
        if not relax:
            return spins
        film = FilmArrays.of(p, None, None)
        packed = film.pack(spins, np.float64)
        return film.unpack(downhill(film, packed, relax, _BEYOND))

    def decoded(self, p: FilmParameters, places: np.ndarray) -> np.ndarray:
        """What the network alone makes of places in a film, (3, rows, columns)."""
        scale = helix_period(p) / self.period
        sides = np.array([p.rows, p.columns])
        grid = STRIDE * np.maximum(np.round(sides / scale / STRIDE).astype(int), 1)
        rows, columns = int(grid[0]), int(grid[1])
        own = (places + 0.5) * (grid / sides)[::-1] - 0.5
        spins = self.run(maps(own, rows, columns, scaled_field(p))[None])[0]
        spins = _read_off(spins.astype(np.float64), p.rows, p.columns)
        # Exact symmetries: interfacial DMI turns every spin about z, a field along -z all over.
        turn = np.exp(1j * np.arctan2(-p.interfacial_dmi_meV, p.dmi_meV))
        in_plane = (spins[0] + 1j * spins[1]) * turn
        spins = np.stack([in_plane.real, in_plane.imag, spins[2]])
        return -spins if p.bias_T[2] < 0 else spins

    def run(self, maps: np.ndarray) -> np.ndarray:
        """The network alone: (films, 1 + len(WIDTHS), h, w) → (films, 3, STRIDE·h, STRIDE·w)."""
        (spins,) = self._session.run(["spins"], {"maps": maps})
        return spins

    @property
    def period(self) -> float:
        """The helix's, of the film that it learned, sites."""
        return helix_period(FilmParameters(exchange_meV=1.0, dmi_meV=self.card.dmi))

    def middle_field_T(self, p: FilmParameters) -> float:
        """In the middle of the fields that it saw, for a film, T."""
        unit = scaled_field(replace(p, bias_T=(0.0, 0.0, 1.0)))
        return (self.card.fields[0] + self.card.fields[-1]) / 2 / unit

    def check(self, p: FilmParameters, temperature_K: float = 0.0) -> None:
        """Raise ValueError unless states of this film can be drawn."""
        if p.exchange_meV <= 0 or not np.isfinite(helix_period(p)):
            raise ValueError("film without exchange or DMI: the generator knows none. Give both")
        if p.anisotropy_meV:
            raise ValueError(
                f"film anisotropy_meV = {p.anisotropy_meV:g}: the generator learned films without. "
                "Give 0 (--set anisotropy_meV=0)"
            )
        if np.hypot(*p.bias_T[:2]) > _TILTED_T:
            raise ValueError(f"film bias_T = {p.bias_T}: tilted, which no film it learned was")
        field, (low, high) = scaled_field(p), (self.card.fields[0], self.card.fields[-1])
        if not low * (1 - _ROUNDING) <= field <= high * (1 + _ROUNDING):
            unit = scaled_field(replace(p, bias_T=(0.0, 0.0, 1.0)))
            raise ValueError(
                f"field of {p.bias_T[2]:g} T: {field:.3g} in D²/J, and the generator saw {low:.3g} "
                f"to {high:.3g}: give {low / unit:.4g} to {high / unit:.4g} T"
            )
        if min(p.rows, p.columns) < FEWEST_PERIODS * helix_period(p):
            raise ValueError(
                f"film of {p.rows} x {p.columns} sites: its helix's period is "
                f"{helix_period(p):.1f}. Give {FEWEST_PERIODS:g} periods or more each way"
            )
        kelvin = self.card.hottest * p.exchange_meV / llg.K_B_MEV_PER_K
        if not 0 <= temperature_K <= kelvin:
            raise ValueError(
                f"temperature of {temperature_K:g} K: give 0 to {kelvin:.4g}, above which such "
                "states lose skyrmions"
            )

    def _number(
        self, p: FilmParameters, wanted: int | None, as_annealed: bool, rng: np.random.Generator
    ) -> int:
        """Of skyrmions. Raises ValueError for more than have room."""
        area = p.rows * p.columns * (self.period / helix_period(p)) ** 2
        mean = area * self.card.density_at(scaled_field(p), best=not as_annealed)
        if wanted is None:
            scatter = self.card.scatter * np.sqrt(mean) * rng.standard_normal()
            return max(1, round(mean + scatter * as_annealed))
        most = int(1.5 * mean)
        if not 1 <= wanted <= most:
            raise ValueError(f"{wanted} skyrmions: this film has room for 1 to {most}")
        return wanted

    def _try_once(self) -> None:
        inputs = np.zeros((1, 1 + len(WIDTHS), 4, 6), np.float32)
        try:
            (spins,) = try_once(self._session, ["spins"], {"maps": inputs})
            if spins.shape != (1, 3, 4 * STRIDE, 6 * STRIDE) or not np.isfinite(spins).all():
                raise ValueError(f"it gives {spins.shape}, or what is no number")
        except Exception as error:  # onnxruntime raises its own classes straight from Exception
            raise ModelError(
                f"generator {self.path}: cannot draw one film ({error}). Make it again with "
                "`skyctl train generator`."
            ) from error

    def _read_card(self, file_sha256: str) -> GeneratorCard:
        meta = self._session.get_modelmeta().custom_metadata_map
        try:
            plain: dict[str, Any] = json.loads(meta["generator"])
            lists = {k: tuple(v) for k, v in plain.items() if isinstance(v, list)}
            card = GeneratorCard(**{**plain, **lists}, file_sha256=file_sha256)
            if not (len(card.fields) == len(card.density) == len(card.best_density) > 1):
                raise ValueError("densities of other fields")
            return replace(card, trained_side=_side(card.trained_side))
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                f"generator {self.path}: its metadata are missing or damaged ({error}). Make it "
                "again with `skyctl train generator`."
            ) from error


def _side(side: int) -> int:
    if not 1 <= side <= _LARGEST_SIDE:
        raise ValueError(f"trained_side {side}, not 1 to {_LARGEST_SIDE}")
    return side


def _read_off(spins: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A film's spins between its sites, as if it had rows × columns of them; unit vectors."""
    if spins.shape[1:] != (rows, columns):
        zoom = (1, rows / spins.shape[1], columns / spins.shape[2])
        spins = np.asarray(ndimage.zoom(spins, zoom, order=1, mode="grid-wrap", grid_mode=True))
    return spins / np.linalg.norm(spins, axis=0)

"""Which movies the reproduction of arXiv:1907.01814 simulates, and where they are kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyctl.errors import SkyctlError
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import Device, fill
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec
from skyctl.studies.process_map import PAPER_PROCESSES, PEAK_PS, Grid

TRAINED_DEG, DIAGRAM_DEG = 50.0, 40.0
"""Pulse angles of the paper's training set and of its process diagram (Fig. 11 and 3)."""
TRUTH_PS = 165.0
"""When topology names what happened, for a pulse that peaks at 40 ps; of a later pulse, as much
later. Every set is filmed until then."""
EXAMPLE_WIDTHS_PS = (8.0, 28.0, 40.0)
EXAMPLE_DAMPING = 0.36
"""The paper's examples of breathing, switching and collapse (Fig. 4, 6 and 7)."""
WARM_EXAMPLE = (0.22, 38.0)
"""Damping and width (ps) of the collapse that it shows at 0 and 1.5 K (Fig. 8)."""
PAPER_K = 1.5
"""The highest temperature at which it calls its classifier robust."""
INTERVAL_SET = "interval"
"""Name of the set with a frame every 5 ps, of which fewer may be shown."""
_SURPLUS = 1.1
_EVERY_15_PS = FrameSchedule(duration_ps=TRUTH_PS, interval_ps=15).times_ps
_EVERY_5_PS = FrameSchedule(duration_ps=TRUTH_PS, interval_ps=5).times_ps

Progress = Callable[[str, int], Callable[[], None]]
"""Told what begins and of how many steps it is; returns what to call after each step."""


class ReproduceError(SkyctlError):
    """A reproduction cannot go on."""


@dataclass(frozen=True)
class Preset:
    """How much is simulated.

    diagram : grid of the process diagram (θ = 40°); selection : of the map at θ = 50° from which
        training movies are drawn; conditions : of other angles, peak times, frame intervals, and
        1.5 K; warm : of other temperatures
    movies_per_class : training movies of each process, the held-out ones among them
    widths_stride : of the paper's 44 pulse widths, how many to go on in Fig. 9
    side : sites along each edge of the film
    """

    diagram: Grid
    selection: Grid
    conditions: Grid
    warm: Grid
    movies_per_class: int
    angles_deg: tuple[float, ...]
    peaks_ps: tuple[float, ...]
    temperatures_K: tuple[float, ...]
    widths_stride: int
    side: int = 100


PRESETS = {
    "quick": Preset(
        diagram=Grid(2),
        selection=Grid(2),
        conditions=Grid(4),
        warm=Grid(4),
        movies_per_class=200,
        angles_deg=(30, 60),
        peaks_ps=(30, 60),
        temperatures_K=(4.5,),
        widths_stride=4,
    ),
    "paper": Preset(
        diagram=Grid(1),
        selection=Grid(2),
        conditions=Grid(2),
        warm=Grid(4),
        movies_per_class=400,
        angles_deg=(30, 35, 45, 60),
        peaks_ps=(30, 60),
        temperatures_K=(0.5, 1, 2, 3, 4.5, 6),
        widths_stride=1,
    ),
}


@dataclass(frozen=True)
class Library:
    """The movie sets of a reproduction, one HDF5 file each in ``folder``; what is there is kept.

    scheduler, device : as ``scale_out.fill``'s
    """

    folder: Path
    scheduler: str | None
    device: Device
    progress: Progress

    def filled(self, name: str, shots: list[MovieSpec]) -> MovieSet:
        """The set ``name`` with all its movies. Raises what ``MovieSet.plan`` and ``fill`` do."""
        movies = MovieSet.plan(self.folder / f"{name}.h5", shots)
        try:
            missing = len(movies.missing())
            if missing:
                advance = self.progress(f"simulating {name}", missing)
                fill(movies, scheduler=self.scheduler, device=self.device, progress=advance)
        except BaseException:
            movies.close()
            raise
        return movies


def diagram_shots(preset: Preset) -> list[MovieSpec]:
    """The paper's process diagram (Fig. 3): θ = 40°."""
    return preset.diagram.shots(_EVERY_15_PS, theta_deg=DIAGRAM_DEG, side=preset.side)


def selection_shots(preset: Preset) -> list[MovieSpec]:
    """The map at θ = 50° (Fig. 11), first and last frame."""
    return preset.selection.shots([0.0, TRUTH_PS], theta_deg=TRAINED_DEG, side=preset.side)


def condition_sets(preset: Preset, seed: int) -> Iterator[tuple[str, Grid, list[MovieSpec]]]:
    """Sets of what the network was never trained on: name, grid and shots of each."""
    grid, side = preset.conditions, preset.side
    yield INTERVAL_SET, grid, grid.shots(_EVERY_5_PS, theta_deg=DIAGRAM_DEG, side=side)
    for kelvin in (PAPER_K, *preset.temperatures_K):
        on = grid if kelvin == PAPER_K else preset.warm
        shots = on.shots(
            _EVERY_15_PS, theta_deg=DIAGRAM_DEG, temperature_K=kelvin, side=side, seed=seed
        )
        yield temperature_set(kelvin), on, shots
    for theta in preset.angles_deg:
        yield angle_set(theta), grid, grid.shots(_EVERY_15_PS, theta_deg=theta, side=side)
    for peak in preset.peaks_ps:
        end_ps = TRUTH_PS + peak - PEAK_PS
        times_ps = FrameSchedule(duration_ps=end_ps, interval_ps=15).times_ps
        if times_ps[-1] < end_ps:
            times_ps.append(end_ps)
        shots = grid.shots(times_ps, theta_deg=DIAGRAM_DEG, peak_ps=peak, side=side)
        yield peak_set(peak), grid, shots


def temperature_set(kelvin: float) -> str:
    """Name of the set at a temperature, K."""
    return f"temperature-{kelvin:g}K"


def angle_set(theta_deg: float) -> str:
    """Name of the set at a pulse angle, degrees."""
    return f"angle-{theta_deg:g}deg"


def peak_set(peak_ps: float) -> str:
    """Name of the set with the pulse's peak at a time, ps."""
    return f"peak-{peak_ps:g}ps"


def example_shots(preset: Preset) -> list[MovieSpec]:
    """The three examples every 5 ps, then the collapse of Fig. 8 at 0 and 1.5 K every 15 ps."""
    damping, width_ps = WARM_EXAMPLE
    return [
        *(_shot(preset, EXAMPLE_DAMPING, width, 0.0, _EVERY_5_PS) for width in EXAMPLE_WIDTHS_PS),
        *(_shot(preset, damping, width_ps, kelvin, _EVERY_15_PS) for kelvin in (0.0, PAPER_K)),
    ]


def width_shots(preset: Preset) -> list[MovieSpec]:
    """All pulse widths at α = 0.36 and 0 K, then at 1.5 K (Fig. 9, which prints no α)."""
    widths_ps = Grid(preset.widths_stride).widths_ps.tolist()
    return [
        _shot(preset, EXAMPLE_DAMPING, width_ps, kelvin, _EVERY_15_PS)
        for kelvin in (0.0, PAPER_K)
        for width_ps in widths_ps
    ]


def _shot(
    preset: Preset, damping: float, width_ps: float, kelvin: float, times_ps: list[float]
) -> MovieSpec:
    film = FilmParameters(preset.side, preset.side, damping=damping, temperature_K=kelvin)
    pulse = Pulse(width_ps=width_ps, theta_deg=DIAGRAM_DEG, peak_ps=PEAK_PS)
    return MovieSpec(film, times_ps, pulse)


def training_shots(preset: Preset, labels: np.ndarray, seed: int) -> list[MovieSpec]:
    """Random shots at θ = 50° from the inside of the areas of ``labels``, a few more than wanted.

    labels : (cells,) str, the map at θ = 50° on ``preset.selection``. A cell of an area is drawn,
        then a point in the cell.
    The classes take turns, so that a shorter set is the beginning of a longer one's.
    Raises ReproduceError for a process that has no inside on this map.
    """
    grid, side = preset.selection, preset.side
    inside = grid.inside(labels)
    rng = np.random.default_rng(seed)
    cells = {name: np.flatnonzero(inside & (labels == name)) for name in PAPER_PROCESSES}
    for name, found in cells.items():
        if not len(found):
            raise ReproduceError(
                f"map at {TRAINED_DEG:g}°: no cell lies inside an area of {name}; it needs a finer "
                "grid, so take the preset 'paper'"
            )
    height, width = grid.cell
    shots = []
    for _ in range(round(_SURPLUS * preset.movies_per_class)):
        for name in PAPER_PROCESSES:
            row, column = divmod(int(rng.choice(cells[name])), grid.shape[1])
            damping = grid.dampings[row] + height * rng.uniform(-0.5, 0.5)
            width_ps = grid.widths_ps[column] + width * rng.uniform(-0.5, 0.5)
            pulse = Pulse(width_ps=float(width_ps), theta_deg=TRAINED_DEG, peak_ps=PEAK_PS)
            film = FilmParameters(side, side, damping=float(damping))
            shots.append(MovieSpec(film, _EVERY_15_PS, pulse))
    return shots


def training_rows(labels: np.ndarray, movies_per_class: int) -> np.ndarray:
    """The first ``movies_per_class`` rows of each process, by the truth of the movies themselves.

    labels : (movies,) str. Returns rows, (3 · movies_per_class,), process by process.
    Raises ReproduceError when there are fewer.
    """
    rows = []
    for name in PAPER_PROCESSES:
        found = np.flatnonzero(labels == name)[:movies_per_class]
        if len(found) < movies_per_class:
            raise ReproduceError(
                f"training movies: {len(found)} of {movies_per_class} show {name}; another --seed "
                "draws others"
            )
        rows.append(found)
    return np.concatenate(rows)

"""Benchmark of what users bring: their files, and films that are not the plain one."""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyctl.bench.machine import ROUNDS, machine
from skyctl.formats.movies import open_movie
from skyctl.formats.ovf import read_ovf
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of
from skyctl.pulse import Pulse, SpinCurrent
from skyctl.recording.imported import MovieFacts, import_movie
from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters
from skyctl.simulators.lattice.shapes import disc
from skyctl.stream.sources.pixels import Scaling

_SIDE = 1024
_STEPS = 500


def files_speed(
    frames: int = 60, rounds: int = 4 * ROUNDS, progress: Callable[[str], None] = lambda what: None
) -> dict[str, Any]:
    """Reading an OVF state, importing a movie beside a plain copy of it, and films beside the
    plain one, each round one after the other on one core.

    frames : of the movie, of 1024 x 1024; rounds : of the films
    """
    with tempfile.TemporaryDirectory(prefix="skyctl-") as name:
        folder = Path(name)
        progress("OVF of 1024 x 1024, binary 4")
        ovf = _ovf_ms(folder)
        progress(f"movie of {frames} frames of 1024 x 1024")
        movies = [_import_speed(folder, frames, dtype) for dtype in ("f4", "u2")]
    progress("films")
    return {"machine": machine(), "ovf": ovf, "import": movies, "films": _film_rates(rounds)}


def _ovf_ms(folder: Path) -> dict[str, float]:
    spins = np.random.default_rng(0).normal(size=(3, _SIDE, _SIDE)).astype(np.float32)
    spins /= np.linalg.norm(spins, axis=0)
    path = folder / "m.ovf"
    write_ovf(path, [field_of(SpinState(spins))])
    read = [_seconds(lambda: read_ovf(path)) for _ in range(4 * ROUNDS)]
    plain = [_seconds(lambda: np.fromfile(path, np.float32)) for _ in range(4 * ROUNDS)]
    return {
        "read_ms": 1e3 * statistics.median(read),
        "plain_bytes_ms": 1e3 * statistics.median(plain),
    }


def _import_speed(folder: Path, frames: int, dtype: str) -> dict[str, Any]:
    """MB/s of the source, without verdicts, beside the same frames copied to HDF5 as float32.

    Of wall time: median, slowest and best of the rounds; ``cpu_MB_per_s`` of CPU time, at best,
    which other programs and the disk do not change.
    """
    levels = np.random.default_rng(0).uniform(-1, 1, (frames, _SIDE, _SIDE)).astype(np.float32)
    if dtype == "u2":
        levels = np.round(2000 + 1800 * levels).astype(np.uint16)
    source = folder / f"{dtype}.npy"
    np.save(source, levels)
    size = levels.nbytes
    del levels
    facts = MovieFacts(15.0, Pulse(width_ps=28))
    if dtype == "u2":
        facts = replace(facts, scaling=Scaling(2000, 1 / 1800))
    ours, plain, cpu = [], [], []
    for _ in range(2 * ROUNDS):
        target = folder / "copy.h5"
        plain.append(_seconds(lambda: _plain_copy(source, folder / "copy.h5")))
        target.unlink()
        began = time.process_time()
        with open_movie(source) as movie:
            ours.append(_seconds(lambda: import_movie(movie, folder / "copy.h5", facts)))
        cpu.append(time.process_time() - began)
        target.unlink()
    source.unlink()
    return {
        "source": dtype,
        "MB_per_s": size / statistics.median(ours) / 1e6,
        "slowest_MB_per_s": size / max(ours) / 1e6,
        "best_MB_per_s": size / min(ours) / 1e6,
        "cpu_MB_per_s": size / min(cpu) / 1e6,
        "plain_copy_MB_per_s": size / statistics.median(plain) / 1e6,
        "of_plain_copy": statistics.median(p / o for p, o in zip(plain, ours, strict=True)),
    }


def _plain_copy(source: Path, target: Path) -> None:
    frames = np.load(source, mmap_mode="r")
    with h5py.File(target, "w", libver="latest") as file:
        shape = frames.shape
        kept = file.create_dataset("data", shape, "f4", chunks=(1, *shape[1:]))
        for index, frame in enumerate(frames):
            kept[index] = frame


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _film_rates(rounds: int) -> list[dict[str, Any]]:
    """Site-steps a second of CPU time, best of the rounds, in which the films take turns."""
    p, side = FilmParameters(), FilmParameters().rows
    plain, current = Pulse(width_ps=28), SpinCurrent(density_A_per_m2=1e12)
    cases: dict[str, tuple[FilmParameters, np.ndarray | None, Pulse]] = {
        "plain": (p, None, plain),
        "interfacial DMI": (replace(p, dmi_meV=0.0, interfacial_dmi_meV=p.dmi_meV), None, plain),
        "both kinds of DMI": (replace(p, interfacial_dmi_meV=p.dmi_meV), None, plain),
        "disc": (p, disc(side, side, side / 2 - 1), plain),
        "tilted easy axis": (replace(p, easy_axis=(1.0, 0.0, 1.0)), None, plain),
        "spin current": (p, None, plain.model_copy(update={"current": current})),
    }
    rows = []
    for precision in ("f8", "f4"):
        films = {name: _ready(*case, precision) for name, case in cases.items()}
        rates = dict.fromkeys(films, 0.0)
        for _ in range(rounds):
            for name, advance in films.items():
                begin = time.process_time()
                advance()
                rate = _STEPS * side**2 / (time.process_time() - begin)
                rates[name] = max(rates[name], rate)
        rows += [
            {
                "film": name, "precision": precision, "site_steps_per_s": rate,
                "of_plain": rate / rates["plain"],
            }
            for name, rate in rates.items()
        ]  # fmt: skip
    return rows


def _ready(
    parameters: FilmParameters, sites: np.ndarray | None, pulse: Pulse, precision: Any
) -> Callable[[], None]:
    film = Film(parameters, precision=precision, sites=sites)
    shape = (3, parameters.rows, parameters.columns)
    film.spins = np.random.default_rng(0).normal(size=shape)
    film.advance(MAX_STEP_PS, pulse)
    return lambda: film.advance(_STEPS * MAX_STEP_PS, pulse)

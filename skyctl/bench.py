"""Benchmarks: speed as a ratio to a peer or a floor measured in the same run."""

import importlib.util
import logging
import multiprocessing
import platform
import queue
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Movie, Pulse
from skyctl.simulators import llg
from skyctl.simulators.engines import make_engine, noise_key
from skyctl.simulators.film import (
    MAX_STEP_PS,
    Film,
    FilmParameters,
    bloch_skyrmion,
    make_stretch,
)
from skyctl.simulators.standard_problem import (
    reference_s_state,
    reference_series,
    run_standard_problem,
)
from skyctl.simulators.thin_film import MU0_T_M_PER_A, SP4_FIELDS_T, ThinFilmParameters
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_REPEATS = 5
_MOVIE_FRAMES = 34
_TIMEOUT_S = 30.0


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    return {
        "processor": _processor(),
        "cores": multiprocessing.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def simulator_speed(seconds: float) -> dict[str, Any]:
    """Site-steps a second of one Heun step on the default film, median of five repeats.

    The floor of the comparison is the same step written in numpy, which shares the field and the
    equation of motion (the functions of ``llg`` take arrays as well as numbers).
    """
    results = []
    for precision in ("f8", "f4"):
        for threads, batch in ((1, 1), (2, 1), (2, 2)):
            rate = _film_rate(precision, threads // batch, batch, seconds)
            results.append(_row("skyctl", precision, threads, batch, rate))
    results.append(_row("numpy", "f8", 1, 1, _numpy_rate(seconds)))
    floor = results[-1]["site_steps_per_s"]
    for row in results:
        row["times_numpy"] = row["site_steps_per_s"] / floor
    return {"machine": machine(), "results": results}


def _row(engine: str, precision: str, threads: int, batch: int, rate: float) -> dict[str, Any]:
    return {
        "engine": engine,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sites": 100 * 100,
        "device": "cpu",
        "site_steps_per_s": rate,
    }


def _film_rate(precision: Any, threads: int, batch: int, seconds: float) -> float:
    films = [Film(precision=precision, threads=threads) for _ in range(batch)]
    pulse = Pulse(width_ps=28)
    for film in films:
        film.set_skyrmion()

    def go(film: Film, span_ps: float) -> None:
        for _ in film.frames(pulse, [span_ps]):
            pass

    go(films[0], 0.1)
    span_ps = 15.0
    steps = int(np.ceil(span_ps / MAX_STEP_PS))
    with ThreadPoolExecutor(batch) as pool:

        def once() -> int:
            list(pool.map(lambda film: go(film, span_ps), films))
            return steps * 10_000 * batch

        return _median_rate(once, seconds)


def _numpy_rate(seconds: float) -> float:
    film = Film()
    film.set_skyrmion()
    state = film.spins
    c = film.coefficients()
    couplings = (c["exchange"], c["dmi"], c["anisotropy"])
    damped = (c["precession"], c["damping"])

    def rate_of(spins: np.ndarray) -> np.ndarray:
        g = np.pad(spins, ((0, 0), (1, 1), (1, 1)))
        neighbours = (*g[:, 1:-1, :-2], *g[:, 1:-1, 2:], *g[:, :-2, 1:-1], *g[:, 2:, 1:-1])
        field: tuple[Any, ...] = (*neighbours, spins[2], *couplings)
        rate: tuple[Any, ...] = (*spins, *llg.interaction_field(*field), *damped)
        return np.stack(llg.spin_rate(*rate))

    def once() -> int:
        nonlocal state
        for _ in range(20):
            first = rate_of(state)
            second = rate_of(state + MAX_STEP_PS * first)
            state = state + MAX_STEP_PS / 2 * (first + second)
            state = state / np.linalg.norm(state, axis=0)
        return 20 * 10_000

    return _median_rate(once, seconds)


def _median_rate(once: Callable[[], int], seconds: float) -> float:
    """Work a second, the median of repeats that share ``seconds``."""
    rates = []
    for _ in range(_REPEATS):
        start, work = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds / _REPEATS:
            work += once()
        rates.append(work / elapsed)
    return statistics.median(rates)


def _cuda() -> Any:
    """numba's module, without its annotations, which are not what it takes."""
    from numba import cuda

    return cuda


def cuda_speed(seconds: float) -> list[dict[str, Any]]:
    """Rates of the Heun step on the CUDA device, beside its memory's floor; [] without a device.

    One film, a batch far larger than the cache, and one film that is: ``seconds`` for each.
    ``of_memory_floor`` compares the rate with that at which memory could pass the numbers that a
    step reads and writes (``kernels_cuda.PASS_VALUES``), at the speed of a plain copy on the device
    in the same run. It can exceed 1 where films stay in the cache between the passes.
    """
    cuda = _cuda()
    if not cuda.is_available():
        return []
    from skyctl.simulators.kernels_cuda import PASS_VALUES

    name = cuda.get_current_device().name
    copied = memory_floor()
    rows = []
    for precision in ("f8", "f4"):
        for side, batch in ((100, 1), (100, 2048), (2000, 1)):
            rate = _cuda_rate(precision, side, batch, seconds)
            moved = PASS_VALUES["heun"] * np.dtype(precision).itemsize
            rows.append(
                {
                    "engine": "skyctl",
                    "precision": precision,
                    "threads": 0,
                    "batch": batch,
                    "sites": side * side,
                    "device": name,
                    "site_steps_per_s": rate,
                    "bytes_per_site_step": moved,
                    "copy_GB_per_s": copied / 1e9,
                    "of_memory_floor": rate * moved / copied,
                }
            )
    return rows


def memory_floor() -> float:
    """Bytes a second, read and written, of a plain copy of 1 GiB within the CUDA device's memory.

    The median of repeats; a quarter of the free memory where that is less.
    """
    cuda = _cuda()
    size = int(min(2**30, cuda.current_context().get_memory_info().free // 4))
    source = cuda.device_array(size, np.uint8)
    target = cuda.device_array(size, np.uint8)
    rates = []
    for _ in range(4 * _REPEATS):
        start, end = cuda.event(), cuda.event()
        start.record()
        target.copy_to_device(source)
        end.record()
        end.synchronize()
        rates.append(2 * size / (cuda.event_elapsed_time(start, end) * 1e-3))
    return statistics.median(rates)


def _cuda_rate(precision: str, side: int, batch: int, seconds: float) -> float:
    """Site-steps a second of a batch of films of side × side sites under a pulse."""
    parameters = FilmParameters(rows=side, columns=side)
    engine = make_engine(
        "cuda", side, side, films=batch, periodic=False, precision=precision, integrator="heun"
    )
    spins = bloch_skyrmion(side, side, radius=12)
    engine.write(np.broadcast_to(spins, (batch, *spins.shape)))
    span_ps = 5.0
    stretch = make_stretch(
        parameters, Film(parameters).coefficients(), Pulse(width_ps=28), 40.0, span_ps, MAX_STEP_PS,
        anisotropy_map=None, key=noise_key(0), first_step=0,
    )  # fmt: skip

    def once() -> int:
        engine.advance([stretch] * batch)
        _cuda().synchronize()
        return stretch.steps * side * side * batch

    once()
    return _median_rate(once, seconds)


def thin_film_speed(peer_ps: float) -> dict[str, Any]:
    """Wall time of 1 ns of standard problem 4, field 1, on one thread: median of three.

    The peer, magnum.np, runs the first ``peer_ps`` where it is installed (at most 1 ns; its steps
    are bounded by stability, so that the rest takes in proportion). Both start from the reference's
    S-state on the same mesh.
    """
    times_ps, reference = reference_series(1)
    walls, run = [], run_standard_problem(1, start="reference")
    for _ in range(3):
        start = time.perf_counter()
        run_standard_problem(1, start="reference")
        walls.append(time.perf_counter() - start)
    results: list[dict[str, Any]] = [
        {
            "what": "skyctl",
            "tolerance": run.tolerance,
            "simulated_ps": float(times_ps[-1]),
            "field_evaluations": run.demag_evaluations,
            "difference": run.difference,
            "s_per_ns": statistics.median(walls),
        }
    ]
    peer = "not installed"
    if importlib.util.find_spec("magnumnp"):
        results.append(_magnumnp(min(peer_ps, float(times_ps[-1])), times_ps, reference))
        for row in results:
            row["times_peer"] = results[-1]["s_per_ns"] / row["s_per_ns"]
        whole = results[-1]["simulated_ps"] == times_ps[-1]
        peer = "in the same run, " + ("the whole of it" if whole else "extrapolated to 1 ns")
    return {"machine": machine(), "threads": 1, "peer": peer, "results": results}


def _magnumnp(span_ps: float, times_ps: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """magnum.np as the reference series was made: double, RKF45, tolerance 1e-6."""
    import magnumnp  # pyright: ignore[reportMissingImports] a peer, not a dependency
    import torch

    p, tolerance = ThinFilmParameters(), 1e-6
    logging.getLogger("magnum.np").setLevel(logging.ERROR)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    magnumnp.constants.gamma = p.gamma_m_per_As
    mesh = magnumnp.Mesh((p.columns, p.rows, 1), tuple(edge * 1e-9 for edge in p.cell_nm))
    state = magnumnp.State(mesh)
    state.material = {
        "Ms": p.magnetisation_A_per_m,
        "A": p.exchange_J_per_m,
        "alpha": p.damping,
    }
    state.m = torch.tensor(reference_s_state().transpose(2, 1, 0)[:, :, None].copy())
    applied = magnumnp.ExternalField([b / MU0_T_M_PER_A for b in SP4_FIELDS_T[1]])
    demag = magnumnp.DemagField()
    evaluations = 0

    def counted(state: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        return magnumnp.DemagField.h(demag, state)

    counted(state)  # its tensor is not part of the time
    demag.h, evaluations = counted, 0
    solver = magnumnp.LLGSolver(
        [demag, magnumnp.ExchangeField(), applied], atol=tolerance, rtol=tolerance
    )
    difference, start, now_ps = 0.0, time.perf_counter(), 0.0
    for time_ps, expected in zip(times_ps[1:].tolist(), reference[1:], strict=True):
        if time_ps > span_ps:
            break
        solver.step(state, (time_ps - now_ps) * 1e-12)
        now_ps = time_ps
        difference = max(difference, np.abs(state.m.mean((0, 1, 2)).numpy() - expected).max())
    wall = time.perf_counter() - start
    return {
        "what": "magnum.np",
        "tolerance": tolerance,
        "simulated_ps": now_ps,
        "field_evaluations": evaluations,
        "difference": float(difference),
        "s_per_ns": wall * 1e3 / now_ps,
    }


def loop_latency(rate: float, frames: int, model: Path | None, provider: str) -> dict[str, Any]:
    """Receive-to-verdict latency of 100 × 100 S_z frames at ``rate`` a second.

    The source is another process; the floor is the bare network step (features and ONNX Runtime, no
    stream, no threads) at the same rate in this one, because caches are cold between frames.
    """
    classifier = MovieClassifier(model, provider)
    publisher_ready: Any = multiprocessing.get_context("spawn").Queue()
    source = multiprocessing.get_context("spawn").Process(
        target=_send, args=(publisher_ready, rate, frames), daemon=True
    )
    source.start()
    hub = Hub(publisher_ready.get(timeout=_TIMEOUT_S))
    latencies: list[float] = []
    counts: queue.Queue[Any] = queue.Queue()

    def listen(news: Verdict | ShotResult) -> None:
        if isinstance(news, ShotResult):
            latencies.extend(news.latencies_ms)
            counts.put(news.counts)

    streaming = StreamingClassifier(classifier)
    streaming.subscribe(listen)
    consumer = Consumer("bench", streaming.handle)
    hub.subscribe(consumer)
    try:
        shots = -(-frames // _MOVIE_FRAMES)
        seen = [counts.get(timeout=_TIMEOUT_S + 2 * frames / rate) for _ in range(shots)]
    finally:
        hub.close()
        consumer.close()
        source.terminate()
        source.join()
    floor = _bare_steps(classifier, rate, min(frames, 500))
    rows = [
        _latency_row("stream to verdict", rate, latencies, classifier.provider),
        _latency_row("bare network step", rate, floor, classifier.provider),
    ]
    lost = sum(count.missing for count in seen)
    return {"machine": machine(), "lost_frames": lost, "results": rows}


def _latency_row(what: str, rate: float, values_ms: list[float], provider: str) -> dict[str, Any]:
    p50, p99 = np.percentile(values_ms, (50, 99))
    return {
        "what": what,
        "frames_per_s": rate,
        "frames": len(values_ms),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(max(values_ms)),
        "provider": provider,
    }


def _bare_steps(classifier: MovieClassifier, rate: float, frames: int) -> list[float]:
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 100, 100)).astype(np.float32)
    classifier.reset(1.0)
    wait = threading.Event()
    elapsed = []
    for i in range(frames):
        wait.wait(1 / rate)
        start = time.perf_counter()
        classifier.step(images[i % len(images)])
        elapsed.append((time.perf_counter() - start) * 1e3)
    return elapsed


def _send(ready: Any, rate: float, frames: int) -> None:
    """The source process: movies of 34 frames at a steady rate."""
    publisher = Publisher()
    ready.put(publisher.address)
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (100, 100)).astype(np.float32)
    movie = Movie(duration_ps=165, interval_ps=5)
    due = time.perf_counter()
    for shot in range(-(-frames // _MOVIE_FRAMES)):
        name = f"bench-{shot}"
        publisher.start(
            ShotStart("bench", name, Pulse(width_ps=28), movie, _MOVIE_FRAMES, image.shape)
        )
        for index, time_ps in enumerate(movie.times_ps):
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            publisher.frame(Frame("bench", name, index, time_ps, time.time_ns(), image))
        publisher.end("bench", name)
    time.sleep(5)  # until everything queued has been taken
    publisher.close()

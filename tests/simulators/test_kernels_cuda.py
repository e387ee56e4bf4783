"""The CUDA kernels against the CPU's: on a GPU where there is one, always on numba's simulator."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from numba import cuda

from skyctl.pulse import Pulse, Spot
from skyctl.simulators import kernels_cuda
from skyctl.simulators.film import Film, FilmParameters

ON_GPU = "NUMBA_ENABLE_CUDASIM" not in os.environ


@pytest.fixture(scope="module")
def gpu():
    if not cuda.is_available():
        pytest.skip("no CUDA GPU that numba can use on this machine")


def ends(parameters, start, pulse, times_ps, precision):
    """The last frame on each device; several frames, so that a film is read and goes on."""
    for device in ("cpu", "cuda"):
        film = Film(parameters, precision=precision, device=device)
        film.spins = start
        *_, last = film.frames(pulse, times_ps)
        yield last


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size .* low occupancy")
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.usefixtures("gpu")
def test_a_small_film_moves_as_on_the_cpu(random_spins, periodic):
    parameters = FilmParameters(rows=12, columns=10, periodic=periodic, bias_T=(0.1, 0.2, 0.3))
    pulse = Pulse(
        amplitude_T=5, width_ps=0.1, phi_deg=30, peak_ps=0.15, spot=Spot(x=4, y=3, sigma=2)
    )
    start = random_spins(12, 10)
    on_cpu, on_cuda = ends(parameters, start, pulse, [0.15, 0.3], "f8")
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-12, rtol=0)
    assert np.abs(on_cuda - start).max() > 0.1


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("f8", 1e-10), ("f4", 1e-4)])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.usefixtures("gpu")
@pytest.mark.skipif(not ON_GPU, reason="takes a GPU: too many sites for numba's simulator")
def test_a_large_film_moves_as_on_the_cpu(random_spins, precision, tolerance, periodic):
    parameters = FilmParameters(rows=130, columns=97, periodic=periodic)
    pulse = Pulse(width_ps=0.3, peak_ps=0.5)
    on_cpu, on_cuda = ends(parameters, random_spins(130, 97), pulse, [0.5, 1.0], precision)
    assert on_cuda.dtype == np.dtype(precision)
    np.testing.assert_allclose(on_cuda, on_cpu, atol=tolerance, rtol=0)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.skipif(not ON_GPU, reason="takes a GPU: numba's simulator compiles nothing")
def test_a_float32_film_computes_nothing_in_float64(random_spins):
    film = Film(FilmParameters(rows=130, columns=97), precision="f4", device="cuda")
    film.spins = random_spins(130, 97)
    next(film.frames(Pulse(width_ps=0.3), [0.03]))
    for kernel in (kernels_cuda._predict, kernels_cuda._correct):
        single = [
            asm
            for signature, asm in kernel.inspect_asm().items()
            if "float64" not in str(signature)
        ]
        assert single
        for asm in single:
            assert ".f32" in asm
            assert not re.search(r"\.f64", asm)


def test_numbas_simulator_moves_a_film_as_the_cpu_does():
    """Simulated threads are slow; a process of its own, as numba decides at import."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"),
            f"{__file__}::test_a_small_film_moves_as_on_the_cpu",
        ],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_without_a_gpu_the_error_says_what_to_do():
    code = "from skyctl.simulators.film import Film; Film(device='cuda')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_CUDA": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: device cuda: numba finds no CUDA GPU")
    assert "device='cpu'" in last
    assert "extra 'gpu'" in last

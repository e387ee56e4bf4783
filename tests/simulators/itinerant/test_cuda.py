"""The itinerant magnet's CUDA kernels against the CPU: on a GPU, or on numba's simulator."""

import ctypes
import json
import os
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda

from skyctl.errors import DeviceMissing
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant import kernels_cuda as kernels_itinerant_cuda
from skyctl.simulators.itinerant import kernels_film_cuda as kernels_torque_cuda
from skyctl.simulators.itinerant.electrons import (
    Electrons,
    equilibrium,
    perpendicular,
    random_spins,
)
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm
from skyctl.simulators.itinerant.kernel_polynomial import KernelPolynomial

SIMULATED = "NUMBA_ENABLE_CUDASIM" in os.environ
# 32-bit words wrap around; numpy, which computes in the simulator, says so.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
on_gpu = pytest.mark.skipif(SIMULATED, reason="takes a GPU: too much for numba's simulator")
in_compiler = pytest.mark.skipif(SIMULATED, reason="numba's simulator compiles nothing")

HOT = Electrons(temperature=0.3)
ROWS, COLUMNS = 5, 6


@pytest.fixture(scope="module")
def gpu():
    if not cuda.is_available():
        pytest.skip("no CUDA GPU that numba can use on this machine")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that divide nothing evenly: and the simulator is slow to start large ones."""
    monkeypatch.setattr(kernels_itinerant_cuda, "_BLOCK", (4, 3))
    monkeypatch.setattr(kernels_torque_cuda, "_BLOCK", 7)


def spins_of(rows, columns):
    return random_spins(rows, columns, np.random.default_rng(0))


def on_both(spins, moments, probe, **options):
    return [
        KernelPolynomial(HOT, moments, probe, device=device, **options).equilibrium(spins)
        for device in ("cpu", "cuda")
    ]


def assert_same(on_cpu, on_cuda, tolerance):
    np.testing.assert_allclose(on_cuda.field, on_cpu.field, atol=tolerance, rtol=0)
    assert on_cuda.grand_potential == pytest.approx(on_cpu.grand_potential, abs=tolerance)
    assert on_cuda.filling == pytest.approx(on_cpu.filling, abs=tolerance)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu", "small_blocks")
class TestKernelPolynomials:
    @pytest.mark.parametrize(("kernel", "moments"), [("none", 9), ("jackson", 8)])
    def test_are_those_of_the_cpu(self, kernel, moments):
        on_cpu, on_cuda = on_both(spins_of(6, 8), moments, 2, kernel=kernel)
        assert np.abs(on_cpu.field).max() > 0.05
        assert_same(on_cpu, on_cuda, 1e-14)

    def test_two_moments_are_the_fewest(self):
        assert_same(*on_both(spins_of(6, 6), 2, 2), 1e-14)

    def test_colours_that_do_not_fit_at_once_follow_each_other(self, monkeypatch):
        """Three of four, then the one that is left."""
        spins = spins_of(6, 6)
        together = on_both(spins, 5, 2)[1]
        taken = []

        def remembered(*arguments):
            taken.append(arguments[2])
            return expand(*arguments)

        expand = kernels_itinerant_cuda.expand
        monkeypatch.setattr(kernels_itinerant_cuda, "expand", remembered)
        monkeypatch.setattr(kernels_itinerant_cuda, "colours_at_once", lambda *_: 3)
        assert_same(together, on_both(spins, 5, 2)[1], 1e-15)
        assert taken == [3, 1]

    def test_a_lattice_that_does_not_fit_at_all_is_refused(self, monkeypatch):
        """128 bytes a site and colour; half the memory is theirs."""
        with_memory(monkeypatch, 2 * 128 * 36 * 5 + 200)
        assert kernels_itinerant_cuda.colours_at_once(36, 4) == 4
        assert kernels_itinerant_cuda.colours_at_once(36, 9) == 5
        with_memory(monkeypatch, 2 * 128 * 36 - 1)
        with pytest.raises(MemoryError, match=r"lattice of 36 sites .* device='cpu'"):
            KernelPolynomial(HOT, 2, 2, device="cuda")(spins_of(6, 6))


def with_memory(monkeypatch, free):
    context = SimpleNamespace(get_memory_info=lambda: SimpleNamespace(free=free))
    monkeypatch.setattr(cuda, "current_context", lambda: context)


@pytest.mark.gpu
@on_gpu
@pytest.mark.usefixtures("gpu")
def test_kernel_polynomials_on_the_gpu_converge_to_diagonalisation():
    spins = spins_of(24, 24)
    on_cpu, on_cuda = on_both(spins, 300, 12, kernel="none")
    assert_same(on_cpu, on_cuda, 1e-12)
    exact = equilibrium(HOT, spins).field
    off = perpendicular(spins, on_cuda.field - exact)
    assert np.abs(off).max() < 1e-3 * np.linalg.norm(perpendicular(spins, exact), axis=0).mean()


class RowUp:
    """A field of 0.05 of the spin a row up: simple, and no mirror image of itself."""

    device = "cuda"

    def __init__(self):
        self.evaluations = 0

    def __call__(self, spins):
        return 0.05 * np.roll(spins, 1, 1)

    def bind(self, spins, field, rows, columns):
        among, into = (Memory(pointer, (3, rows, columns)) for pointer in (spins, field))

        def evaluate():
            self.evaluations += 1
            into.write(self(among.read()).astype(np.float32))

        return evaluate


class Memory:
    """float32 at an address of the device: in the simulator, of this process."""

    def __init__(self, pointer, shape):
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": "<f4", "data": (pointer, False), "version": 3,
        }  # fmt: skip
        if SIMULATED:
            floats = ctypes.c_float * int(np.prod(shape))
            self._array = np.frombuffer(floats.from_address(pointer), np.float32).reshape(shape)
        else:
            self._array = cuda.as_cuda_array(self)

    def read(self):
        return self._array.copy() if SIMULATED else self._array.copy_to_host()

    def write(self, values):
        if SIMULATED:
            self._array[:] = values
        else:
            self._array.copy_to_device(values)


@pytest.fixture
def addresses(monkeypatch):
    """The simulator's arrays are numpy's, without the attribute that a device's have."""
    if SIMULATED:
        monkeypatch.setattr(kernels_torque_cuda, "_address", lambda array: array.ctypes.data)


PULSE = Pulse(
    amplitude_T=20,
    width_ps=0.02,
    peak_ps=0.02,
    theta_deg=70,
    phi_deg=20,
    spot=Spot(x=1, y=4, sigma=2),
)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu", "small_blocks", "addresses")
class TestFilms:
    def film(self, device, torque=None, **changes):
        parameters = ItinerantFilmParameters(
            rows=ROWS, columns=COLUMNS, damping=0.2, bias_T=(0.5, -3.0, 2.0), **changes
        )
        film = TorqueFilm(torque or RowUp(), parameters, device=device, seed=2)
        film.spins = spins_of(ROWS, COLUMNS)
        return film

    @pytest.mark.parametrize("temperature_K", [0.0, 30.0])
    @pytest.mark.parametrize("spot", [None, PULSE.spot])
    def test_move_as_on_the_cpu(self, temperature_K, spot):
        pulse = PULSE.model_copy(update={"spot": spot})
        ends = []
        for device in ("cpu", "cuda"):
            film = self.film(device, temperature_K=temperature_K)
            ends.append(list(film.frames(pulse, [0.0, 0.03, 0.05], max_step_ps=0.01)))
            assert film.steps_taken == 5
        np.testing.assert_allclose(ends[1], ends[0], atol=3e-6, rtol=0)
        assert np.abs(ends[0][2] - ends[0][0]).max() > 0.05
        assert ends[1][2].dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(ends[1][2], axis=0), 1, atol=2e-7)

    def test_stay_on_the_device_between_frames(self, monkeypatch):
        film = self.film("cuda", torque := RowUp())
        left = []
        read = kernels_torque_cuda.TorqueCudaEngine.read
        monkeypatch.setattr(
            kernels_torque_cuda.TorqueCudaEngine, "read", lambda e: left.append(0) or read(e)
        )
        list(film.frames(PULSE, [0.02, 0.03], max_step_ps=0.01))
        assert (len(left), torque.evaluations) == (2, 6)

    def test_are_pulsed_on_other_spots_one_after_the_other(self):
        ends = []
        for device in ("cpu", "cuda"):
            film = self.film(device)
            for spot in (PULSE.spot, None, Spot(x=5, y=0, sigma=1)):
                pulse = PULSE.model_copy(update={"spot": spot})
                film.advance(0.02, pulse, start_ps=0.01, max_step_ps=0.02)
            ends.append(film.spins)
        np.testing.assert_allclose(ends[1], ends[0], atol=3e-6, rtol=0)

    def test_relax_as_on_the_cpu(self):
        ends = []
        for device in ("cpu", "cuda"):
            film = self.film(device)
            film.relax(0.2)
            ends.append(film.spins)
        np.testing.assert_allclose(ends[1], ends[0], atol=3e-6, rtol=0)
        assert np.abs(ends[1] - spins_of(ROWS, COLUMNS)).max() > 0.1

    def test_refuse_a_torque_of_the_host(self):
        with pytest.raises(ValueError, match="function does not run there"):
            self.film("cuda", lambda spins: spins)


def test_numbas_simulator_computes_as_the_cpu_does():
    """The tests above, in a process of its own, as numba decides for the simulator at import."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"),
            *("-m", "gpu", __file__),
        ],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"13 passed, 1 skipped", done.stdout), done.stdout


COMPILE = """
    import json, types as t
    from numba import cuda
    from numba.cuda import dispatcher, types
    from skyctl.simulators.itinerant import kernels_cuda as kernels_itinerant_cuda
    from skyctl.simulators.itinerant import kernels_film_cuda as kernels_torque_cuda

    # A device function asks the GPU for its kind; without one, it is told.
    dispatcher.get_current_device = lambda: t.SimpleNamespace(compute_capability=(9, 0))

    def array(kind, axes):
        return types.Array(kind, axes, "C")

    integer, single, double = types.int64, types.float32, types.float64
    vectors, answers, series = array(double, 3), array(double, 4), array(double, 2)
    film = (array(single, 2),) * 2
    rest = (
        array(single, 2), array(single, 1), array(types.uint32, 1), integer,
        types.UniTuple(single, 9),
    )
    signatures = {
        kernels_itinerant_cuda.begin: (vectors, answers, series, array(integer, 1), series),
        kernels_itinerant_cuda.recurse: (
            vectors, vectors, answers, series, integer, array(integer, 1), array(integer, 2),
            array(double, 1), array(double, 2), double, double,
        ),
        kernels_torque_cuda.predict: (*film, array(single, 2), *rest),
        kernels_torque_cuda.correct: (*film, *rest),
    }
    print(json.dumps({
        kernel.py_func.__name__: cuda.compile_ptx(
            kernel.py_func, types.void(*signature), cc=(9, 0)
        )[0]
        for kernel, signature in signatures.items()
    }))
"""


@pytest.fixture(scope="module")
def ptx():
    """What every kernel compiles to, by name. Takes NVIDIA's compiler, not a GPU."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if re.search("DynamicLibNotFoundError|NvvmSupportError", done.stderr):
        pytest.skip("NVIDIA's NVVM and NVRTC libraries are not installed")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@in_compiler
def test_a_films_kernels_compute_in_single_precision_and_in_registers(ptx):
    assert set(ptx) == {"begin", "recurse", "predict", "correct"}
    for name, code in ptx.items():
        assert ".entry" in code
        assert bool(re.search(r"\.f64", code)) == (name in ("begin", "recurse")), name
        assert ".local" not in code, name
        assert not re.search(r"\bcall", code), name


@pytest.mark.skipif(SIMULATED or cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_error_says_what_to_do():
    for make in (
        lambda: KernelPolynomial(HOT, device="cuda"),
        lambda: TorqueFilm(RowUp(), device="cuda"),
    ):
        with pytest.raises(DeviceMissing, match=r"numba finds no CUDA GPU.*device='cpu'"):
            make()


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="device 'tpu': choose 'cpu' or 'cuda'"):
        KernelPolynomial(HOT, device="tpu")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="device 'tpu': choose 'cpu' or 'cuda'"):
        TorqueFilm(RowUp(), device="tpu")  # pyright: ignore[reportArgumentType]

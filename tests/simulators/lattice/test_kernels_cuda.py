"""The CUDA kernels against the CPU's: on a GPU where there is one, always on numba's simulator."""

import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda

from skyctl.bench.cuda import cuda_speed
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.lattice import cuda_engine
from skyctl.simulators.lattice.engines import make_engine
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.kernels_noise_cuda import normals
from skyctl.simulators.physics.schemes import SCHEMES
from skyctl.simulators.physics.span import Span, noise_key

SIMULATED = "NUMBA_ENABLE_CUDASIM" in os.environ
# 32-bit words wrap around; numpy, which computes in the simulator, says so.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
on_gpu = pytest.mark.skipif(SIMULATED, reason="takes a GPU: too much for numba's simulator")

ROWS, COLUMNS = 5, 6
INTEGRATORS = list(SCHEMES)
PRECISIONS = [("f8", 1e-14), ("f4", 1e-6)]
RUNS = list(itertools.product(INTEGRATORS, PRECISIONS, [False, True]))
"""Integrator, (precision, tolerance), periodic."""
if SIMULATED and "SKYCTL_EVERY_RUN" not in os.environ:
    # Every two of the three together, at least once; `make slow` takes all.
    RUNS = [
        (integrator, PRECISIONS[k], bool(k) ^ (integrator == "midpoint"))
        for integrator in INTEGRATORS
        for k in range(2)
    ]


@pytest.fixture(scope="module")
def gpu():
    if not cuda.is_available():
        pytest.skip("no CUDA GPU that numba can use on this machine")


@pytest.fixture(autouse=SIMULATED)
def small_blocks(monkeypatch):
    """The simulator has a thread of Python for each of a block: the films have 30 sites."""
    monkeypatch.setattr(cuda_engine, "_PASS_BLOCK", 32)
    monkeypatch.setattr(cuda_engine, "_LAUNCH_STEPS", 4)


@pytest.fixture
def profile():
    """Values from 0.5 to 1.5, (rows, columns), of no symmetry."""
    values = np.random.default_rng(5).uniform(0.5, 1.5, (ROWS, COLUMNS))
    values.flags.writeable = False
    return values


def stretch(film=0, temperature_K=0.0, **changes):
    """A short, fierce pulse; every film's is another."""
    parameters = FilmParameters(
        rows=ROWS,
        columns=COLUMNS,
        damping=0.2 + 0.1 * film,
        bias_T=(0.3, -0.5, 0.7 + film),
        temperature_K=temperature_K,
    )
    values = {
        "coefficients": Film(parameters).coefficients(),
        "bias_T": parameters.bias_T,
        "peak_T": (5.0, -3.0 * film, 2.0),
        "peak_ps": 0.03,
        "width_ps": 0.02 + 0.01 * film,
        "spot": None,
        "anisotropy_map": None,
        "start_ps": 0.005,
        "step_ps": 0.015,
        "steps": 4,
        "noise_key": noise_key(film),
        "first_step": 2**32 - 2 + 1000 * film,
    }
    return Span(**(values | changes))


class Current:
    """A field and a spin current that grow with time."""

    has_current = True

    def fields_T(self, times_ps):
        return np.outer(times_ps, [100.0, -50.0, 20.0, 40.0, 80.0, -30.0])


def moved(device, start, stretches, *, periodic=False, precision="f8", integrator="heun"):
    """The films after their stretches: all at once on the device, one by one on the CPU."""
    batches = [range(len(start))] if device == "cuda" else [[i] for i in range(len(start))]
    ends = []
    for films in batches:
        engine = make_engine(
            device,
            *start.shape[-2:],
            films=len(films),
            periodic=periodic,
            precision=precision,
            integrator=integrator,
        )
        engine.write(start[list(films)])
        engine.advance([stretches[i] for i in films])
        ends.append(engine.read())
    return np.concatenate(ends)


@pytest.fixture
def films(random_spins):
    return np.stack([random_spins(ROWS, COLUMNS, seed) for seed in range(3)])


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("integrator", "precision", "tolerance", "periodic"),
    [(integrator, *precision, periodic) for integrator, precision, periodic in RUNS],
)
class TestAsOnTheCpu:
    def check(self, films, stretches, tolerance, **run):
        on_cpu = moved("cpu", films, stretches, **run)
        on_cuda = moved("cuda", films, stretches, **run)
        assert on_cuda.dtype == np.dtype(run["precision"])
        np.testing.assert_allclose(on_cuda, on_cpu, atol=tolerance, rtol=0)
        for end, before in zip(on_cuda, films, strict=True):
            assert np.abs(end - before).max() > 0.05

    def test_cold_films(self, films, integrator, precision, tolerance, periodic):
        run = {"integrator": integrator, "precision": precision, "periodic": periodic}
        self.check(films[:2], [stretch(0), stretch(1)], tolerance, **run)

    def test_films_with_spot_map_and_noise(
        self, films, profile, integrator, precision, tolerance, periodic
    ):
        """Each in one film of the three: the others must not notice. Noise is single precision."""
        run = {"integrator": integrator, "precision": precision, "periodic": periodic}
        stretches = [
            stretch(0, spot=profile, steps=1),
            stretch(1, anisotropy_map=profile * 20, steps=1),
            stretch(2, temperature_K=20.0, steps=1),
        ]
        self.check(films, stretches, max(tolerance, 1e-6), **run)

    def test_films_with_an_interface_a_tilted_axis_and_a_current(
        self, films, profile, integrator, precision, tolerance, periodic
    ):
        """Each in one film of the three; the middle one is driven by a table."""
        run = {"integrator": integrator, "precision": precision, "periodic": periodic}
        plain = stretch().coefficients
        stretches = [
            stretch(0, coefficients=replace(plain, interfacial_dmi_T=9.0), steps=1),
            stretch(1, drive=Current(), spot=profile, steps=1),
            stretch(2, coefficients=replace(plain, easy_axis=(0.6, 0.0, 0.8)), steps=1),
        ]
        self.check(films, stretches, tolerance, **run)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_film_moves_in_a_batch_as_it_does_alone(films, profile, integrator):
    stretches = [stretch(i, temperature_K=20.0, spot=profile, steps=1) for i in range(2)]
    together = moved("cuda", films[:2], stretches, integrator=integrator, precision="f4")
    for i in range(2):
        alone = moved("cuda", films[i : i + 1], stretches[i : i + 1], integrator=integrator,
                      precision="f4")  # fmt: skip
        np.testing.assert_array_equal(together[i], alone[0])


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.filterwarnings("ignore:Grid size")
def test_how_the_passes_are_launched_changes_nothing(films, monkeypatch, integrator):
    """One block a film, over more sites than it has threads; or launches over the device."""
    run = {"integrator": integrator, "precision": "f4", "periodic": True}
    hot = 20.0 if integrator == "heun" else 0.0  # noise is slow to simulate
    stretches = [stretch(i, temperature_K=hot, steps=3) for i in range(2)]
    by_block = moved("cuda", films[:2], stretches, **run)
    monkeypatch.setattr(cuda_engine, "_LAUNCH_STEPS", 2)
    monkeypatch.setattr(cuda_engine, "FILM_BLOCK", {"f4": 32, "f8": 32})
    np.testing.assert_array_equal(moved("cuda", films[:2], stretches, **run), by_block)
    monkeypatch.setattr(cuda_engine, "BLOCK_A_FILM_SITES", 0)
    monkeypatch.setattr(cuda_engine, "_PASS_BLOCK", 32)
    np.testing.assert_array_equal(moved("cuda", films[:2], stretches, **run), by_block)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.filterwarnings("ignore:Grid size")
def test_noise_is_the_cpus():
    """Same words, same formula: what is left is the rounding of single precision."""
    key, first, sites = noise_key(7), 2**32 - 1, 40

    @cuda.jit
    def draw(out, key, step):
        i = cuda.grid(1)
        if i < out.shape[1]:
            out[0, i], out[1, i], out[2, i] = normals(i, step, key)

    for step in (first, first + 1):
        on_cuda, on_cpu = np.zeros((2, 3, sites), np.float32)
        draw[2, 32](on_cuda, key, step)
        draw_noise(on_cpu, 0, sites, 0, step, key)
        np.testing.assert_allclose(on_cuda, on_cpu, atol=3e-6, rtol=0)
        assert np.abs(on_cpu).max() > 1


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_a_frame_is_the_film_as_it_was_when_it_was_taken(films):
    """Three on their way, waited for in the wrong order, and a film that has moved on since."""
    run = {"periodic": False, "precision": "f8", "integrator": "heun"}
    engine = make_engine("cuda", ROWS, COLUMNS, films=2, **run)
    engine.write(films[:2])
    stretches = [stretch(0, steps=1), stretch(1, steps=1)]
    pending, read = [], []
    for _ in range(3):
        engine.advance(stretches)
        pending.append(engine.copy_async())
        read.append(engine._spins.copy_to_host())
    engine.advance(stretches)
    for taken, expected in reversed(list(zip(pending, read, strict=True))):
        np.testing.assert_array_equal(taken.wait(), engine._layout.inner(expected))
    pending[0].wait()[:] = 7
    assert np.abs(engine.read()).max() <= 1 + 1e-12
    assert not np.array_equal(pending[1].wait(), pending[2].wait())


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_what_changes_between_stretches_is_sent_again(films, profile):
    """Arrays changed in place, and arrays that are other ones."""
    start, run = films[:1], {"periodic": False, "precision": "f8", "integrator": "heun"}
    engine = make_engine("cuda", ROWS, COLUMNS, films=1, **run)
    own = profile.copy()
    for spot, change in ((own, {}), (own, {"peak_T": (0.0, 9.0, 0.0)}), (profile, {}), (None, {})):
        engine.write(start)
        engine.advance([stretch(spot=spot, **change)])
        expected = moved("cpu", start, [stretch(spot=spot, **change)])
        np.testing.assert_allclose(engine.read(), expected, atol=1e-14, rtol=0)
        own *= 3.0


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_movies_in_a_batch_are_those_of_the_cpu(films):
    shots = [
        MovieSpec(
            FilmParameters(rows=ROWS, columns=COLUMNS, temperature_K=2.0),
            times_ps=[0.0, 0.03, 0.045],
            pulse=Pulse(
                amplitude_T=5 + i, width_ps=0.05, peak_ps=0.02, spot=Spot(x=2, y=1, sigma=2)
            ),
            start=films[i],
            seed=i,
        )
        for i in range(2)
    ]
    on_cpu, on_cuda = (
        list(simulate_batch(shots, lambda shot, frames: np.stack([*frames]), device=device))
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
class TestErrors:
    def engine(self, films):
        return make_engine(
            "cuda", ROWS, COLUMNS, films=films, periodic=False, precision="f4", integrator="heun"
        )

    def test_no_film(self):
        with pytest.raises(ValueError, match="films = 0: must be 1 or more"):
            self.engine(0)

    def test_too_few_stretches(self):
        with pytest.raises(ValueError, match="1 spans for 2 films: give one for each"):
            self.engine(2).advance([stretch()])

    @pytest.mark.parametrize("change", [{"start_ps": 1.0}, {"step_ps": 0.01}, {"steps": 3}])
    def test_films_with_clocks_of_their_own(self, change):
        with pytest.raises(ValueError, match=r"film 1 starts at .* share their clock"):
            self.engine(2).advance([stretch(), stretch(**change)])

    def test_more_films_than_memory(self, monkeypatch):
        """9 numbers a site of 80, 4 bytes each: 2880 bytes a film."""
        info = SimpleNamespace(
            get_memory_info=lambda: SimpleNamespace(free=10_000),
            memory_manager=SimpleNamespace(deallocations=[]),
        )
        monkeypatch.setattr(cuda_engine.cuda, "current_context", lambda: info)
        with pytest.raises(
            MemoryError, match=r"4 films of 5 x 6 sites in f4 .*: 3 fit\. Move fewer"
        ):
            self.engine(4)


@pytest.mark.gpu
@on_gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("precision", "tolerance"), [("f8", 1e-8), ("f4", 1e-3)])
def test_a_movie_is_that_of_the_cpu(precision, tolerance):
    """A skyrmion that breathes: 100 × 100 sites, 34 frames."""
    frames = {}
    for device in ("cpu", "cuda"):
        film = Film(precision=precision, device=device)
        film.set_skyrmion()
        frames[device] = np.stack(list(film.frames(Pulse(width_ps=8), np.arange(0, 166, 5.0))))
    np.testing.assert_allclose(frames["cuda"], frames["cpu"], atol=tolerance, rtol=0)


@pytest.mark.gpu
@on_gpu
@pytest.mark.usefixtures("gpu")
def test_thousands_of_films_move_as_they_do_alone(random_spins):
    count = 5000
    start = np.stack([random_spins(ROWS, COLUMNS, seed) for seed in range(count)])
    stretches = [
        replace(stretch(i % 7, temperature_K=5.0, steps=100), noise_key=noise_key(i))
        for i in range(count)
    ]
    together = moved("cuda", start, stretches, precision="f4")
    for i in (0, 1, count // 2, count - 1):
        alone = moved("cuda", start[i : i + 1], stretches[i : i + 1], precision="f4")
        np.testing.assert_array_equal(together[i], alone[0])


@pytest.mark.gpu
@on_gpu
@pytest.mark.usefixtures("gpu")
def test_a_large_film_moves_as_on_the_cpu(random_spins):
    """Larger than a block takes: every pass over the whole device."""
    rows, columns = 300, 250
    assert rows * columns > cuda_engine.BLOCK_A_FILM_SITES
    start = random_spins(rows, columns)[None]
    on_cpu, on_cuda = (
        moved(device, start, [stretch(steps=50)], periodic=True) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("every", "passed"),
    [
        pytest.param({}, 34, id="covering"),
        pytest.param({"SKYCTL_EVERY_RUN": "1"}, 52, id="every", marks=pytest.mark.slow),
    ],
)
def test_numbas_simulator_moves_films_as_the_cpu_does(every, passed):
    """The tests above, in a process of its own, as numba decides for the simulator at import."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"),
            *("-m", "gpu", __file__),
        ],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", **every},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{passed} passed, 4 skipped" in done.stdout, done.stdout


COMPILE = """
    import itertools, json, types as t
    from numba import cuda
    from numba.cuda import dispatcher, types
    from skyctl.simulators.lattice import kernels_cuda
    from skyctl.simulators.physics.schemes import SCHEMES

    # A device function asks the GPU for its kind; without one, it is told.
    dispatcher.get_current_device = lambda: t.SimpleNamespace(compute_capability=(9, 0))

    def array(kind, axes):
        return types.Array(kind, axes, "C")

    integer, word, double = types.int64, types.uint32, types.float64
    found = {}
    for precision, real in (("f4", types.float32), ("f8", double)):
        signature = types.void(
            array(real, 3), array(real, 3), integer, integer, integer, array(real, 2),
            array(real, 2), array(real, 2), array(real, 4), array(word, 2), array(integer, 1),
            integer, integer,
        )
        for integrator, scheme in SCHEMES.items():
            for options in ((*(False,) * 4, (False,) * 3), (*(True,) * 4, (True,) * 3)):
                kernels = kernels_cuda.make_kernels(scheme, precision, *options)
                for kind, kernel in zip(("march", "predict", "correct"), kernels, strict=True):
                    name = f"{kind} {integrator} {precision} {options[0]}"
                    found[name] = cuda.compile_ptx(kernel.py_func, signature, cc=(9, 0))[0]
        envelopes = types.void(array(real, 4), array(double, 2), double, double, double)
        found[f"pulse_fields {precision}"] = cuda.compile_ptx(
            kernels_cuda.pulse_fields.py_func, envelopes, cc=(9, 0)
        )[0]
    print(json.dumps(found))
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


@pytest.mark.skipif(SIMULATED, reason="numba's simulator compiles nothing")
def test_no_kernel_computes_wider_than_its_arrays(ptx):
    """One does, on purpose: the pulse's envelope, which is computed once a film and step."""
    assert len(ptx) == 2 * (2 * 3 * 3 + 1)
    for name, code in ptx.items():
        wide = "f8" in name or "pulse_fields" in name
        assert bool(re.search(r"\.f64", code)) == wide, name
        assert ".entry" in code


@pytest.mark.skipif(SIMULATED, reason="numba's simulator compiles nothing")
def test_kernels_keep_everything_in_registers(ptx):
    """No array in local memory, no function that was not inlined."""
    for name, code in ptx.items():
        assert ".local" not in code, name
        assert not re.search(r"\bcall", code), name


@pytest.mark.skipif(SIMULATED or cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_there_is_nothing_to_measure():
    assert cuda_speed(0.1) == []


def test_without_a_gpu_the_error_says_what_to_do():
    code = "from skyctl.simulators.lattice.film import Film; Film(device='cuda')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_CUDA": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("skyctl.errors.DeviceMissing: device cuda: numba finds no CUDA GPU")
    assert "device='cpu'" in last
    assert "bluesky-skyctl[gpu]" in last

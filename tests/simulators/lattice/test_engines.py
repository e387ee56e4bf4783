import os
import subprocess
import sys

import numpy as np
import pytest

from skyctl.simulators.lattice.engines import make_engine


@pytest.mark.parametrize("precision", ["f8", "f4"])
@pytest.mark.parametrize("periodic", [False, True])
def test_spins_are_read_as_they_were_written(random_spins, precision, periodic):
    engine = make_engine("cpu", 5, 8, periodic=periodic, precision=precision, integrator="heun")
    spins = random_spins(5, 8)[None].astype(precision)
    engine.write(spins)
    np.testing.assert_array_equal(engine.read(), spins)
    assert engine.read().dtype == np.dtype(precision)


def test_what_was_read_is_a_copy(random_spins):
    engine = make_engine("cpu", 5, 8, periodic=False, precision="f8", integrator="heun")
    engine.write(random_spins(5, 8)[None])
    engine.read()[:] = 7
    np.testing.assert_array_equal(engine.read()[0], random_spins(5, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "tpu"}, "device 'tpu': choose 'cpu' or 'cuda'"),
        ({"precision": "f2"}, "precision 'f2': choose 'f8' or 'f4'"),
        ({"threads": 0}, "threads = 0: must be 1 or more"),
        ({"integrator": "euler"}, "integrator 'euler': choose one of heun, midpoint"),
        ({"films": 2}, "device 'cpu': moves one film at a time, not 2"),
        ({"device": "cuda", "integrator": "rk4"}, "integrator 'rk4': runs on the CPU"),
    ],
)
def test_an_engine_that_does_not_exist_is_refused(change, message):
    options = {"device": "cpu", "precision": "f8", "integrator": "heun", "periodic": False}
    options |= change
    with pytest.raises(ValueError, match=message):
        make_engine(options.pop("device"), 5, 8, **options)


def test_without_a_compiler_a_film_says_so_and_keeps_its_spins():
    code = (
        "from skyctl.simulators.lattice.film import Film, FilmParameters\n"
        "Film(FilmParameters(8, 8)).advance(0.01)"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "NUMBA_DISABLE_JIT is set. Unset it" in done.stderr

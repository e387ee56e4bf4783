import numpy as np
import pytest

from skyctl.simulators.engines import make_engine


@pytest.mark.parametrize("precision", ["f8", "f4"])
@pytest.mark.parametrize("periodic", [False, True])
def test_spins_are_read_as_they_were_written(random_spins, precision, periodic):
    engine = make_engine("cpu", 5, 8, precision, threads=1)
    spins = random_spins(5, 8).astype(precision)
    engine.write(spins, periodic)
    np.testing.assert_array_equal(engine.read(), spins)
    assert engine.read().dtype == np.dtype(precision)


def test_what_was_read_is_a_copy(random_spins):
    engine = make_engine("cpu", 5, 8, "f8", threads=1)
    engine.write(random_spins(5, 8), False)
    engine.read()[:] = 7
    np.testing.assert_array_equal(engine.read(), random_spins(5, 8))


@pytest.mark.parametrize(
    ("device", "precision", "threads", "message"),
    [
        ("tpu", "f8", 1, "device 'tpu': choose 'cpu' or 'cuda'"),
        ("cpu", "f2", 1, "precision 'f2': choose 'f8' or 'f4'"),
        ("cpu", "f8", 0, "threads = 0: must be 1 or more"),
    ],
)
def test_an_engine_that_does_not_exist_is_refused(device, precision, threads, message):
    with pytest.raises(ValueError, match=message):
        make_engine(device, 5, 8, precision, threads)

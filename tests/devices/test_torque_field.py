"""TorqueField: the torque of live frames, and frames that have none."""

import time

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plans as bp

from skyctl.beamline import simulated_beamline
from skyctl.devices.torque_field import TorqueField
from skyctl.errors import ModelError
from skyctl.frame import Frame
from skyctl.inference.session import shipped_model
from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm


@pytest.fixture(scope="module")
def network():
    return TorqueNetwork(shipped_model(SHIPPED_TORQUE))


@pytest.fixture
def film(network):
    film = TorqueFilm(network, ItinerantFilmParameters(rows=12, columns=24))
    film.set_skyrmion_lattice()
    return film


@pytest.fixture
def line(tmp_path, film):
    with simulated_beamline(tmp_path, film=film, component="spins", settle_ps=0.2) as line:
        yield line


@pytest.fixture
def torque(line, network):
    device = TorqueField(name="torque", network=network, hub=line.hub)
    yield device
    device.close()


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def shoot(line, shot="a"):
    line.sample.expose(
        "run", Exposure(shot=shot), FrameSchedule(duration_ps=0.6, interval_ps=0.1)
    )  # fmt: skip
    line.sample.fire(shot, Pulse(amplitude_T=5.0, width_ps=0.1, peak_ps=0.3))
    line.sample.wait_settled()


def frame_of(data, index=0):
    return Frame("run", "b", index, 0.0, time.time_ns(), data)


def test_the_torque_is_that_of_the_newest_frame(line, torque, film, network):
    seen = []
    torque.frame.subscribe(lambda value, **_: seen.append((value, torque.torque.get())), run=False)
    shoot(line)
    wait_for(lambda: torque.frame.get() == 6)
    assert torque.shot.get() == "a"
    assert torque.movie_time.get() == pytest.approx(0.6)
    assert torque.skipped + len(seen) == 7
    # As the film, which has settled since, would have it from the first frame: at rest.
    last = seen[-1][1]
    assert last.shape == (3, 12, 24)
    length = np.linalg.norm(last, axis=0)
    assert torque.largest.get() == pytest.approx(length.max(), rel=1e-5)
    assert torque.mean.get() == pytest.approx(length.mean(), rel=1e-5)
    torque._take(frame_of(film.spins.astype(np.float32)))
    spins = film.spins
    np.testing.assert_allclose(
        torque.torque.get(), np.cross(spins, network(spins), axis=0), atol=1e-6
    )
    # A torque turns a spin and does not stretch it.
    assert np.abs((torque.torque.get() * spins).sum(0)).max() < 1e-6


def test_a_plan_reads_it(line, torque):
    shoot(line)
    wait_for(lambda: torque.frame.get() == 6)
    documents = []
    torque.torque.kind = "normal"
    RunEngine({})(bp.count([torque]), lambda *d: documents.append(d))
    (event,) = [d for name, d in documents if name == "event"]
    (descriptor,) = [d for name, d in documents if name == "descriptor"]
    assert event["data"]["torque_mean"] > 0
    assert np.shape(event["data"]["torque_torque"]) == (3, 12, 24)
    assert descriptor["data_keys"]["torque_torque"]["shape"] == [3, 12, 24]
    assert descriptor["configuration"]["torque"]["data"]["torque_model_sha256"]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda spins: spins[2], "S_z alone"),
        (lambda spins: np.full_like(spins, np.nan), "not normalised"),
        (lambda spins: 1.5 * spins, "not normalised"),
        (lambda spins: spins[:, :3], "sides of 8"),
    ],
)
def test_a_frame_without_torque_is_refused_and_the_next_one_taken(torque, film, spoil, fault):
    good = film.spins.astype(np.float32)
    torque._take(frame_of(good))
    before = torque.torque.get()
    torque._take(frame_of(spoil(good), 1))
    np.testing.assert_array_equal(torque.torque.get(), before)
    assert torque.refused.get() == 1
    with pytest.raises(ModelError, match=f"torque: frame 1 of shot b: .*{fault}"):
        torque.trigger()
    torque._take(frame_of(good, 2))
    assert torque.problem.get() == ""
    assert torque.trigger().done
    assert torque.frame.get() == 2

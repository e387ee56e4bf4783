"""A stroboscopic movie: one shot to guard and ledger, many pulses to the instrument."""

import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import load_beamline
from skyctl.beamline.simulated import simulated_sample
from skyctl.errors import PartlyFired
from skyctl.plans import classify_shot
from skyctl.plans.plans import in_one_run
from skyctl.plans.stubs import look
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording
from skyctl.simulators.instrument.practice import Images, PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer
from skyctl.simulators.lattice.film import FilmParameters

DELAYS = (0.0, 20.0, 40.0, 50.0, 90.0)
REPEATS = 3
WEAK = Pulse(amplitude_T=1.0, width_ps=6.0, theta_deg=40.0)

FILE = f"""
name = "test"
recordings = "kept"

[pulser]
driver = "scpi-pulser"
transport = "scpi"
address = "ADDRESS"
envelope = {{ shots = 40, rest_s = 0.0, repeats = 1000 }}

[camera]
driver = "scpi-camera"
transport = "scpi"
address = "ADDRESS"
shape = [20, 24]
movie = {{ delays_ps = {list(DELAYS)} }}

[camera.frames]
source = "scpi"
address = "ADDRESS"
offset = 0.0
scale = 1.0
trigger_attribute = "TriggerCount"

[delays]
driver = "scpi-delays"
transport = "scpi"
address = "ADDRESS"
repeats = {REPEATS}
order = "coarse-to-fine"
"""


@pytest.fixture
def server(cleanup):
    images = Images()
    film = simulated_sample(images, FilmParameters(rows=20, columns=24))
    cleanup.callback(film.close)
    server = ScpiServer(PracticeInstrument(film))
    images.post = server.post
    cleanup.callback(server.close)
    return server


@pytest.fixture
def line(server, tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.replace("ADDRESS", server.address))
    with load_beamline(path) as line:
        yield line


def shot(line):
    return RunEngine({}, call_returns_result=True)(classify_shot(line, WEAK)).plan_result


def test_a_movie_of_delays_is_in_time_order_and_every_pulse_is_booked(line, server):
    pulses = REPEATS * len(DELAYS)
    assert line.camera.pulses_per_shot == pulses
    result = shot(line)
    assert (result.problem, result.counts.received) == ("", len(DELAYS))
    assert result.counts.reordered == 0
    assert server.instrument.get("FIRED") == pulses
    spent = line.pulser.guard.spent
    assert (spent.shots, spent.dose_T2ps) == (pulses, pytest.approx(pulses * WEAK.dose_T2ps))
    with Recording(line.camera.recording) as recording:
        ((start, frames, _),) = [s for s in recording.shots() if s[0].pulse]
        assert start.movie.delays_ps == DELAYS
        told = [(f.index, f.movie_time_ps) for f in frames]
    assert told == list(enumerate(DELAYS))


def test_the_budget_counts_every_pulse_before_any_is_fired(line, server):
    shot(line)
    shot(line)
    assert line.pulser.guard.shots_fired == 30
    with pytest.raises(Exception, match="shot budget of 40"):
        shot(line)
    assert server.instrument.get("FIRED") == 30


def test_a_delay_that_cannot_be_ends_the_movie_and_what_was_fired_is_known(line, server):
    table = line.sample.table
    line.sample.table = table.model_copy(update={"high_ps": 60.0})  # 90 ps is the second
    with pytest.raises(PartlyFired, match=f"{REPEATS} pulses of it were fired"):
        shot(line)
    assert server.instrument.get("FIRED") == REPEATS
    assert line.pulser.guard.shots_fired == REPEATS * len(DELAYS)
    line.sample.table = table
    RunEngine({})(in_one_run("look", line, lambda: look(line), None))  # as the movie's fault asks
    assert shot(line).problem == ""  # what was fired is known: fire is not held


def test_the_twin_films_the_same_delays_as_they_happen(server, tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.replace("ADDRESS", server.address))
    with load_beamline(path, mock=True) as twin:
        assert twin.camera.pulses_per_shot == 1
        result = shot(twin)
        assert result.counts.received == len(DELAYS)
        with Recording(twin.camera.recording) as recording:
            images = recording.images(1, 1 + len(DELAYS))
    assert np.isfinite(images).all()

"""The simulated sample behind a real protocol: what comes out is what the film in process gives."""

import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import simulated_beamline
from skyctl.beamline.practice import practice_beamline
from skyctl.demo import run_demo
from skyctl.plans.plans import classify_shot
from skyctl.pulse import Pulse, Spot
from skyctl.recording.reader import Recording

WRITE = Pulse(amplitude_T=7.8, width_ps=16, spot=Spot(x=48.3, y=50.1, sigma=6))


def needs(over):
    if over == "epics":
        pytest.importorskip("softioc", reason="EPICS needs the extra 'epics'")
        pytest.importorskip("epics", reason="EPICS needs the extra 'epics'")


def filmed(line):
    """The label of one shot, its frames, and what was filmed of them."""
    line.camera.ends_early.put(0)
    line.camera.duration_ps.put(60.0)
    result = RunEngine({}, call_returns_result=True)(classify_shot(line, WRITE)).plan_result
    line.sample.charge()
    with Recording(line.camera.recording) as recording:
        frames = recording.images(0, recording.frame_count)
    return result.label, frames


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    with simulated_beamline(tmp_path_factory.mktemp("film")) as line:
        return filmed(line)


@pytest.mark.parametrize("over", ["scpi", "epics"])
def test_a_movie_over_a_protocol_is_the_film_s_bit_for_bit(over, in_process, tmp_path, second_ioc):
    needs(over)
    ports = ("--port", str(second_ioc if over == "epics" else 0))
    with practice_beamline(
        over, tmp_path, arguments=ports, ledger=tmp_path / "ledger.jsonl"
    ) as line:
        assert line.pulser.hold_reason() != ""  # no recording is open yet
        label, frames = filmed(line)
        assert line.sample.charge() == pytest.approx(0.94, abs=0.1)
        assert line.hub.totals["missing"] == 0
    assert label == in_process[0]
    assert np.array_equal(frames, in_process[1])
    assert line.sample.server.process.poll() is not None


@pytest.mark.slow
@pytest.mark.parametrize("over", ["scpi", "epics"])
def test_the_demonstration_over_a_protocol(over, tmp_path):
    needs(over)
    result = run_demo(tmp_path, over=over)
    assert result.reached
    assert result.lost_frames == 0

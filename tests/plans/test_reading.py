"""Devices in plans that only trigger and read: nothing is fired, nothing fails, none is stale."""

import bluesky.plans as bp
import pytest
from bluesky.preprocessors import SupplementalData

from skyctl.beamline import simulated_beamline
from skyctl.errors import StreamError
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse

NUDGE = Pulse(amplitude_T=1, width_ps=2)


def read_in(documents, key, stream="primary"):
    return [event["data"][key] for event in documents.events(stream)]


@pytest.mark.parametrize("order", [("camera", "classifier"), ("classifier", "camera")])
def test_each_point_of_a_count_is_a_look_of_its_own(engine, beamline, documents, order):
    engine(bp.count([getattr(beamline, name) for name in (*order, "pulser")], num=3))
    shots = read_in(documents, "camera_shot")
    assert len(set(shots)) == 3
    assert read_in(documents, "classifier_shot") == shots
    assert read_in(documents, "camera_frames_exposed") == [1, 1, 1]
    assert read_in(documents, "classifier_discs") == [0, 0, 0]
    assert beamline.pulser.guard.shots_fired == 0


def test_a_count_after_a_shot_does_not_show_that_again(engine, beamline, documents):
    engine(classify_shot(beamline, NUDGE))
    (fired,) = read_in(documents, "camera_shot")
    engine(bp.count([beamline.camera]))
    assert read_in(documents, "camera_shot")[-1] not in ("", fired)
    assert beamline.pulser.guard.shots_fired == 1


def test_a_grid_scan_of_settings_fires_nothing(engine, beamline, documents):
    pulser = beamline.pulser
    scan = bp.grid_scan(
        [beamline.camera, beamline.classifier, pulser],
        pulser.amplitude_T,
        1,
        2,
        2,
        pulser.width_ps,
        2,
        4,
        2,
    )
    engine(scan)
    assert read_in(documents, "pulser_amplitude_T") == [1, 1, 2, 2]
    assert len(set(read_in(documents, "classifier_shot"))) == 4
    assert pulser.guard.shots_fired == 0


def test_devices_are_a_baseline_of_any_run(engine, beamline, documents):
    devices = [beamline.pulser, beamline.camera, beamline.classifier, beamline.decisions]
    engine.preprocessors.append(SupplementalData(baseline=devices))
    engine(classify_shot(beamline, NUDGE))
    before, after = read_in(documents, "pulser_shots_fired", "baseline")
    assert (before, after) == (0, 1)
    (fired,) = read_in(documents, "camera_shot")
    engine(bp.count([beamline.pulser]))  # camera and classifier are not staged: they show nothing
    assert read_in(documents, "camera_shot", "baseline") == ["", ""]
    assert read_in(documents, "classifier_label", "baseline") == ["", ""]
    assert beamline.pulser.guard.shots_fired == 1
    assert fired


def test_a_closed_beamline_is_said_at_once(engine, tmp_path):
    with simulated_beamline(tmp_path) as beamline:
        pass
    for plan in (bp.count([beamline.camera]), classify_shot(beamline, NUDGE)):
        with pytest.raises(StreamError, match=r"closed.*inside its `with` block"):
            engine(plan)

"""`map_process_diagram` on the simulated beamline: few cells, every process among them."""

import json
import threading

import numpy as np
import pytest
from ophyd.utils import LimitError

from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis
from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.sample_damping import SampleDamping
from skyctl.plans.map_stream import MapStream
from skyctl.plans.mapping import map_process_diagram
from skyctl.plans.modes import Oversight
from skyctl.process import OUTCOMES

QUIET = {"widths_ps": (3.0, 4.0), "rows": (0.4, 0.5), "row_setting": "damping", "shots": 4}
"""Cells that all breathe."""


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path, start="skyrmion") as line:
        yield line


@pytest.fixture
def damping(beamline):
    return SampleDamping(name="damping", sample=beamline.sample, value=0.36)


def test_many_shots_in_one_run_label_every_cell(engine, documents, damping, beamline, fired):
    threads = set()
    suggest = BoundaryMapper.suggest

    def noting(self, *args):
        threads.add(threading.current_thread().name)
        return suggest(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoundaryMapper, "suggest", noting)
        report = engine(map_process_diagram(beamline, row_device=damping, **QUIET)).plan_result
    assert threads == {"skyctl-plan"}  # never the RunEngine's
    assert (report.finished, report.reason) == (True, "4 shots fired, of 4")
    assert (report.shots, report.prepared, len(fired)) == (4, 0, 4)
    assert [point["label"] for point in report.points] == ["breathing"] * 4
    assert (report.map.labels == 0).all()
    assert report.map.probabilities.shape == (2, 2, 4)
    assert beamline.sample.describe()["sample"]["damping"] == report.points[-1]["damping"]
    shots = documents.events("primary")
    decisions = documents.events("decisions")
    assert len(shots) == len(decisions) == 4
    for point, shot, decision in zip(report.points, shots, decisions, strict=True):
        assert shot["data"]["pulser_width_ps"] == point["width_ps"]
        assert decision["data"]["decisions_shot"] == shot["data"]["pulser_shot"]
        assert decision["data"]["decisions_agent"] == "boundary-mapper"
        assert f"damping = {point['damping']:g}" in decision["data"]["decisions_reason"]
        assert json.loads(decision["data"]["decisions_proposal"])["width_ps"] == point["width_ps"]
    assert len(documents.named("start")) == 1
    assert documents.named("start")[0]["plan_args"]["rows"] == [0.4, 0.5]


def test_the_map_is_a_document_after_each_of_its_shots(engine, documents, damping, beamline):
    report = engine(map_process_diagram(beamline, row_device=damping, **QUIET)).plan_result
    events = [event["data"] for event in documents.events("map")]
    assert [data["map_shots"] for data in events] == [1, 2, 3, 4]
    assert np.sum(events[-1]["map_fired"]) == 4
    assert events[-1]["map_labels"] == report.map.labels.tolist()
    assert events[-1]["map_error"] == report.map.error.tolist()
    (descriptor,) = [d for d in documents.named("descriptor") if d["name"] == "map"]
    axes = descriptor["configuration"]["map"]["data"]
    assert axes["map_row_name"] == "damping"
    assert axes["map_columns"] == [3.0, 4.0]
    assert axes["map_classes"] == list(OUTCOMES)
    json.dumps(events)


def test_who_looks_at_the_map_changes_no_shot():
    rows, columns = Axis("amplitude_T", (1.0, 1.5, 2.0, 2.5)), Axis("width_ps", (4.0, 8.0, 12.0))

    def shots(looked):
        mapper = BoundaryMapper(rows, columns, OUTCOMES, seed=3, check_every=3)
        stream, points = MapStream(mapper), []
        for _ in range(24):
            (point,) = mapper.suggest()
            label = OUTCOMES[int(point["amplitude_T"] + point["width_ps"] / 8) % 4]
            mapper.ingest([{**point, "label": label}])
            points.append(point)
            if looked:
                list(stream.written())
        return points

    assert shots(looked=True) == shots(looked=False)


def test_a_lost_skyrmion_is_written_anew_and_pulses_act_against_the_background(
    engine, beamline, documents
):
    report = engine(
        map_process_diagram(beamline, widths_ps=(5.0, 46.0), rows=(2.0, 2.5), shots=3)
    ).plan_result
    assert report.finished
    assert "collapse" in {point["label"] for point in report.points}
    assert report.prepared > 0
    angles = [
        json.loads(event["data"]["decisions_proposal"])["theta_deg"]
        for event in documents.events("decisions")
        if event["data"]["decisions_reason"].startswith("map: ")
    ]
    assert set(angles) == {40.0, 140.0}  # a collapse leaves the film turned over
    amplitudes = {p["amplitude_T"] for p in report.points}
    assert amplitudes <= {2.0, 2.5}


def test_a_guard_that_forbids_a_cell_ends_the_map_with_its_reason(engine, tmp_path):
    with simulated_beamline(tmp_path, start="skyrmion", envelope=Envelope(shots=2)) as line:
        cells = {"widths_ps": (4.0, 6.0), "rows": (1.0, 1.2), "shots": 4}
        report = engine(map_process_diagram(line, **cells)).plan_result
        assert line.pulser.guard.shots_fired == 2
    assert not report.finished
    assert "shot budget of 2" in report.reason
    assert report.shots == 2
    assert report.map is not None


def test_shadow_proposes_and_fires_nothing(engine, beamline, documents, damping, fired):
    report = engine(
        map_process_diagram(beamline, row_device=damping, oversight=Oversight("shadow"), **QUIET)
    ).plan_result
    assert "shadow" in report.reason
    assert (report.shots, report.map, fired) == (0, None, [])
    decisions = documents.events("decisions")
    assert decisions
    assert {decision["data"]["decisions_approved"] for decision in decisions} == {0}


def test_two_movies_with_a_gap_end_the_map(engine, beamline, damping, monkeypatch):
    beamline.camera.ends_early.put(0)
    send = beamline.publisher.frame
    monkeypatch.setattr(beamline.publisher, "frame", lambda frame: frame.index == 7 or send(frame))
    report = engine(map_process_diagram(beamline, row_device=damping, **QUIET)).plan_result
    assert report.reason == "held fire: 1 of 34 frames missing"
    assert (report.shots, report.map) == (0, None)


def test_a_row_that_nothing_sets_is_refused(beamline):
    with pytest.raises(ValueError, match="row_setting 'damping': no setting of a pulse"):
        list(map_process_diagram(beamline, row_setting="damping"))


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan"), "0.3"])
def test_a_damping_outside_its_limits_is_not_set(beamline, damping, value):
    with pytest.raises(LimitError, match=r"outside 0\.001 … 1"):
        damping.put(value)
    assert beamline.sample.describe()["sample"]["damping"] == 0.36

"""What the network contributes: each ablation, on a few lives, must do what the documents say."""

import numpy as np
import pytest

from skyctl.process import PROCESSES
from skyctl.studies import network_taken_away as network
from skyctl.studies.network_lives import live
from skyctl.studies.network_shots import OFF_CENTRE, SEVERAL, shots_at_others, shots_at_skyrmions
from skyctl.studies.network_table import told

LIVES = (500, 501)


@pytest.fixture(scope="module")
def lives():
    """Of each variant at the first noise, lived when first asked for."""
    lived = {}

    def of(variant):
        if variant not in lived:
            lived[variant] = [live(variant, 0.05, seed) for seed in LIVES]
        return lived[variant]

    return of


def test_with_its_network_the_loop_does_its_tasks(lives):
    for life in lives("network"):
        assert (life.reached, life.false, life.held) == (3, 0, ""), life.reason


@pytest.mark.parametrize("variant", ["random labels", "uniform", "another shot's"])
def test_without_its_network_it_notices_and_stops(lives, variant):
    for life in lives(variant):
        assert life.false == 0
        assert life.held.startswith("the classifier is not to be trusted here"), life.reason
        assert life.held_after <= 5
        assert life.reason.split(": ", 1)[1] == f"held fire: {life.held}"


def test_early_verdicts_save_frames(lives):
    whole, early = lives("whole movies"), lives("network")
    per_task = [sum(x.frames_reached for x in each) / 3 for each in (early, whole)]
    assert per_task[0] < 0.6 * per_task[1]
    assert all(life.reached == 3 for life in whole)


def test_the_network_alone_can_do_it_where_looks_show_nothing(lives):
    for life in lives("looks blinded"):
        assert (life.reached, life.false) == (3, 0), life.reason


def test_random_shots_are_at_skyrmions_and_judged_by_the_film():
    verdicts = shots_at_skyrmions(OFF_CENTRE, 3, 0.05, 1, interval_ps=10.0)
    assert {process for process, *_ in verdicts} <= set(PROCESSES)
    for process, label, _, right in verdicts:
        assert right == (label == process)
        assert process not in ("nucleation", "nothing")


def test_a_film_of_several_skyrmions_is_no_process_of_one():
    verdicts = shots_at_others(SEVERAL, 2, 0.05, 1)
    assert len(verdicts) == 2
    for process, label, _, right in verdicts:
        assert process == "mixed"
        assert right == (label == "mixed")


def test_shares_count_what_they_say():
    figures = told(
        [
            ("breathing", "breathing", True, True),
            ("breathing", "collapse", True, False),
            ("collapse", "unsure", False, False),
            ("collapse", "collapse", False, True),
        ]
    )
    assert figures["named"]["share"] == 0.75
    assert figures["right"]["share"] == pytest.approx(2 / 3)
    assert figures["sure_and_wrong"]["share"] == 0.5
    assert figures["recall"]["collapse"]["share"] == 1.0
    assert figures["recall"]["nothing"] == {"of": 0}


def test_lives_that_are_kept_are_not_lived_again(tmp_path, monkeypatch):
    kept = tmp_path / "network.jsonl"
    report = live("network", 0.05, 500)
    network._keep(kept, report)
    (found,) = network._kept(kept).values()
    assert found == report
    text = kept.read_text().replace('"model": "', '"model": "another')
    kept.write_text(text)
    assert network._kept(kept) == {}
    assert np.isfinite(report.frames)

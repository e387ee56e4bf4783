"""The study of the imagining seeker: lives, what counts, and what is kept."""

import json
from dataclasses import asdict

import pytest

from skyctl.studies import imagining_judged as judged
from skyctl.studies.imagining_judged import AT_MOST, Switched, imagining_metrics, live


def lived(who="imagining", where="cold", seed=0, **changes) -> Switched:
    life = Switched(who, where, seed, 2, 1, True, True, "", 0.2, (), judged._agent_sha(who), (0.1,))
    return Switched(**{**asdict(life), **changes})


def test_a_life_that_was_not_switched_counts_as_one_pulse_too_many():
    row = judged._spread([lived(), lived(pulses=1, verified=False)])
    assert row["mean"] == (2 + AT_MOST + 1) / 2
    assert row["falsely_reached"] == 1
    assert row["success"] == 0.5


def test_rows_compare_with_the_others_of_the_same_run():
    row = judged._row("cold", [lived(), lived("seeker", pulses=4), lived(where="warm", pulses=9)])
    assert row["median"] == 2
    assert row["baselines"]["seeker"]["median"] == 4
    assert row["target"]["p90"] == 3


def test_baselines_get_fewer_lives_and_all_the_same_samples():
    plan = judged._planned(5, 2, 0, ("cold",), ("imagining", "seeker", "oracle"))
    assert len(plan) == 5 + 5 + 2
    assert {seed for who, _, seed in plan if who == "oracle"} == {20_000, 20_001}


def test_kept_lives_are_not_lived_again_unless_the_agent_knew_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr(judged, "thinking", lambda: {"cpu_s": 2.0})
    kept = tmp_path / "lives.jsonl"
    lives = [lived(seed=20_000), lived(seed=20_001, library_sha256="another")]
    kept.write_text("".join(json.dumps(asdict(life)) + "\n" for life in lives))
    assert list(judged._kept(kept)) == [("imagining", "cold", 20_000)]
    found = imagining_metrics(1, wheres=("cold",), whos=("imagining",), kept=kept)
    assert found["metrics"][0]["lives"] == 1


@pytest.mark.slow
def test_an_answer_after_a_weak_pulse_is_timed_with_its_fit():
    took = judged.thinking(1)
    assert took["cpu_s"] > 0.1
    assert took["clock_s"] > 0


@pytest.mark.slow
def test_it_switches_an_unseen_sample_with_a_probe_and_a_pulse():
    life = live("imagining", "cold", 20_000)
    assert life.verified
    assert life.pulses <= 5

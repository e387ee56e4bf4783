"""The seeker's benchmark: its film is the simulated beamline's, its counting is right."""

import pytest

from skyctl.bench import seeking
from skyctl.bench.seeking import AT_MOST, Attempt, Conditions, Rig, live
from skyctl.pulse import Pulse
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.spread import Sample

COLD = Conditions()


def attempt(pulses: int, reached: bool = True, verified: bool = True, **other) -> Attempt:
    facts = {"agent": "library", "task": "switch", "sample_seed": 1, "conditions": COLD}
    return Attempt(
        **{**facts, **other}, pulses=pulses, reached=reached, verified=verified, fired=()
    )


def test_failures_count_as_one_pulse_more_than_allowed():
    spread = seeking._spread(
        [attempt(1), attempt(2), attempt(30, reached=False, verified=False)],
        "library", "switch", COLD,
    )  # fmt: skip
    assert spread["lives"] == 3
    assert spread["median"] == 2
    assert spread["mean"] == pytest.approx((1 + 2 + AT_MOST["switch"] + 1) / 3)
    assert spread["success"] == pytest.approx(2 / 3)
    assert spread["success_95"][0] < 2 / 3 <= spread["success_95"][1]


def test_what_only_looks_reached_is_no_success():
    spread = seeking._spread([attempt(3, verified=False)], "library", "switch", COLD)
    assert (spread["success"], spread["falsely_reached"]) == (0.0, 1)


def test_agents_tasks_and_conditions_are_not_mixed():
    attempts = [
        attempt(1),
        attempt(9, agent="random"),
        attempt(9, task="write"),
        attempt(9, conditions=Conditions(1.0, 0.05)),
    ]
    assert seeking._spread(attempts, "library", "switch", COLD)["mean"] == 1
    assert seeking._spread(attempts, "oracle", "switch", COLD) == {"lives": 0}


def test_a_shot_gives_what_a_plan_would_get():
    rig = Rig(Sample(FilmParameters(rows=20, columns=20)), Conditions(0.0, 0.05), seed=1)
    try:
        assert rig.look().is_empty
        result = rig.fire(Pulse(amplitude_T=3.0, width_ps=30.0, theta_deg=20.0))
    finally:
        rig.close()
    assert result.problem == ""
    assert result.counts.received == 34
    assert result.verdict is not None
    assert [time_ps for time_ps, _ in result.mean_sz] == [5.0 * i for i in range(34)]
    assert result.mean_sz[0][1] == pytest.approx(-1, abs=0.05)
    assert result.mean_sz[-1][1] > 0.8


def test_lives_that_are_kept_are_not_lived_again(tmp_path, monkeypatch):
    kept = tmp_path / "lives.jsonl"

    class Here:
        """A pool that lives here and now."""

        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def submit(self, call, *job):
            from concurrent.futures import Future

            future = Future()
            future.set_result(call(*job))
            return future

    lived = []

    def quickly(agent, seed, conditions):
        lived.append((agent, seed, conditions))
        return [attempt(1, agent=agent, sample_seed=seed, conditions=conditions)]

    monkeypatch.setattr(seeking, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(seeking, "live", quickly)
    first = seeking.seeking(2, 1, kept=kept, baseline_samples=1)
    count = len(lived)
    assert count == 2 * 2 + 4 + 3
    assert seeking.seeking(2, 1, kept=kept, baseline_samples=1) == first
    assert len(lived) == count
    assert {a["sample_seed"] for a in first["attempts"]} == {0, 1000}


@pytest.mark.slow
def test_a_life_writes_switches_and_erases():
    attempts = live("library", 1, COLD)
    assert [(a.task, a.reached, a.verified) for a in attempts] == [
        ("write", True, True),
        ("switch", True, True),
        ("erase", True, True),
    ]
    assert sum(a.pulses for a in attempts) <= 15

"""The seeker's benchmark: its film is the simulated beamline's, its counting is right."""

import pickle
import subprocess
import sys

import pytest

from skyctl.agents.seeker import Proposal, TargetSeeker
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.studies import seekers as seeking
from skyctl.studies.seekers import AT_MOST, Attempt, Conditions, Rig, live
from skyctl.verdict import ShotResult

COLD = seeking.COLD


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
    assert spread["success_95"][0] < 2 / 3 < spread["success_95"][1]


def test_successes_without_a_failure_leave_room_for_one():
    """Clopper and Pearson: of 100, the lower bound is 0.025 to the power of 1/100."""
    spread = seeking._spread([attempt(1)] * 100, "library", "switch", COLD)
    assert spread["success"] == 1
    assert spread["success_95"] == pytest.approx((0.025**0.01, 1))
    assert spread["median_95"] == (1, 1)


def test_what_only_looks_reached_is_no_success():
    spread = seeking._spread([attempt(3, verified=False)], "library", "switch", COLD)
    assert (spread["success"], spread["falsely_reached"]) == (0.0, 1)


def test_agents_tasks_and_conditions_are_not_mixed():
    attempts = [
        attempt(1),
        attempt(9, agent="random"),
        attempt(9, task="write"),
        attempt(9, conditions=seeking.WARM),
    ]
    assert seeking._spread(attempts, "library", "switch", COLD)["mean"] == 1
    assert seeking._spread(attempts, "oracle", "switch", COLD) == {"lives": 0}


class ScriptedRig:
    """Shows these films, one a look, and nothing of them in between; its true charge is
    ``charge``."""

    held = ""
    frames = 0

    def __init__(self, films: list[Belief], charge: float) -> None:
        self._films, self._charge = iter(films), charge
        self.belief = Belief.unknown()

    def look(self) -> ShotResult:
        self.belief = next(self._films)
        return ShotResult("l", None, None, Counts(), "", ())

    def fire(self, pulse: Pulse, whole_movie: bool = False) -> ShotResult:
        self.belief = Belief.unknown()
        return ShotResult("s", None, None, Counts(), "", ())

    def charge(self) -> float:
        return self._charge


EMPTY = Belief.certain("empty", -1)
SKYRMION = Belief.certain("one", -1)


@pytest.mark.parametrize(("charge", "verified"), [(-0.98, True), (0.99, True), (0.1, False)])
def test_the_film_s_charge_judges_what_the_camera_saw(charge, verified):
    rig = ScriptedRig([EMPTY, EMPTY, SKYRMION], charge)
    attempt = seeking._pursue(TargetSeeker("write", (49.5, 49.5)), rig, "library", 1, COLD)
    assert (attempt.pulses, attempt.reached, attempt.verified) == (2, True, verified)


def test_a_task_ends_after_its_pulses_or_when_the_agent_gives_up():
    rig = ScriptedRig([EMPTY] * 50, 0.0)
    attempt = seeking._pursue(TargetSeeker("write", (49.5, 49.5)), rig, "library", 1, COLD)
    assert not attempt.reached
    assert len(attempt.fired) == attempt.pulses <= AT_MOST["write"]
    assert attempt.gave_up.startswith("write: missed at 8, ")


def test_warm_pulses_are_compared_at_the_same_samples():
    attempts = [
        *(attempt(2, sample_seed=s) for s in range(3)),
        attempt(30, sample_seed=3),
        *(attempt(n, sample_seed=n, conditions=seeking.WARM) for n in range(3)),
    ]
    times = seeking._times_cold(attempts, "switch")
    assert (times["lives"], times["mean"], times["median"]) == (3, 0.5, 0.5)
    assert times["mean_95"][0] < 0.5 < times["mean_95"][1]


def test_every_row_has_a_target_and_its_baselines():
    for row in seeking._rows([attempt(1)]):
        assert {"name", "target", "baselines"} <= row.keys()
        assert ("times_cold" in row) == ("1 K" in row["name"])
        # those that write and erase with the seeker's own pulses are no baseline of that
        assert ("oracle" in row["baselines"]) == row["name"].startswith("switch")


def test_a_shot_gives_what_a_plan_would_get():
    rig = Rig(DrawnSample(FilmParameters(rows=20, columns=20)), Conditions(0.0, 0.05), seed=1)
    try:
        assert rig.look().state.is_empty
        result = rig.fire(Pulse(amplitude_T=3.0, width_ps=30.0, theta_deg=20.0), whole_movie=True)
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
        def shutdown(self, **_): ...
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
    first = seeking.seeking_metrics(2, 1, kept=kept, baseline_lives=1)
    assert len(lived) == 2 * 2 + 5 + 2
    assert {seed for _, seed, _ in lived} == {0, 1000}
    assert seeking.seeking_metrics(2, 1, kept=kept, baseline_lives=1) == first
    assert len(lived) == 2 * 2 + 5 + 2
    other = kept.read_text().replace('"library_sha256": ""', '"library_sha256": "another"', 1)
    kept.write_text(other)
    assert seeking.seeking_metrics(2, 1, kept=kept, baseline_lives=1) == first
    assert len(lived) == 2 * 2 + 5 + 2 + 1


@pytest.fixture(scope="module")
def life():
    """What came of one life, and all that its seekers were told and answered, in order."""
    told = []

    def recorded(cls, name):
        call = getattr(cls, name)

        def record(self, *arguments):
            answer = call(self, *arguments)
            told.append((self.task, name, arguments, answer))
            return answer

        return record

    with pytest.MonkeyPatch.context() as patch:
        for name in ("reached", "suggest", "probe", "saw", "ingest"):
            patch.setattr(TargetSeeker, name, recorded(TargetSeeker, name))
        attempts = live("library", 1000, COLD)
    return attempts, told


def test_a_life_writes_switches_and_erases(life):
    attempts, _ = life
    assert [(a.task, a.reached, a.verified) for a in attempts] == [
        ("write", True, True),
        ("switch", True, True),
        ("erase", True, True),
    ]
    assert sum(a.pulses for a in attempts) <= 15


REPLAY = """
import pickle, sys

for name in ("simulators", "devices", "bench", "plans", "cli"):
    sys.modules[f"skyctl.{name}"] = None  # to import any of it is an error
from skyctl.agents.seeker import PulseMemory, TargetSeeker

memory, seekers, answers = PulseMemory(), {}, []
for task, name, arguments, _ in pickle.load(sys.stdin.buffer):
    seeker = seekers.setdefault(task, TargetSeeker(task, (49.5, 49.5), memory))
    answers.append(getattr(seeker, name)(*arguments))
print(repr(answers), end="")
"""


def test_what_a_camera_saw_decides_alone(life):
    """Told the same beliefs and movies, a seeker in another process proposes the same pulses:
    one in which there is no simulator, no film and no sample to look at."""
    _, told = life
    for _, _, arguments, _ in told:
        assert {type(each) for each in arguments} <= {Belief, Proposal, ShotResult}
    done = subprocess.run(
        [sys.executable, "-c", REPLAY], input=pickle.dumps(told), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == repr([answer for *_, answer in told])
    assert sum(name == "suggest" for _, name, _, _ in told) >= 3

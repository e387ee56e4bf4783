"""The seeker as an optimizer of bluesky-adaptive, by hand and in its own plan."""

import pytest

from skyctl.agents.adaptive import SeekerOptimizer
from skyctl.agents.map_grid import ID_KEY
from skyctl.agents.seeker import TargetSeeker
from skyctl.belief import Belief
from skyctl.pulse import Pulse, Spot

EMPTY, SKYRMION = Belief.certain("empty", -1), Belief.certain("one", -1)
SWITCHED = Belief.certain("one", 1)
CENTRE = (49.5, 49.5)


def optimizer(task: str = "switch", film: Belief = SKYRMION) -> SeekerOptimizer:
    return SeekerOptimizer(TargetSeeker(task, CENTRE), film)


def answer(suggestion: dict, film: Belief) -> dict:
    return {ID_KEY: suggestion[ID_KEY], **film.as_json()}


def test_suggestions_are_the_seeker_s_pulses():
    adapted, seeker = optimizer("write", EMPTY), TargetSeeker("write", CENTRE)
    seeker.reached(EMPTY)
    (point,) = adapted.suggest()
    spot = Spot(x=point.pop("spot_x"), y=point.pop("spot_y"), sigma=point.pop("spot_sigma"))
    point.pop(ID_KEY)
    assert Pulse(**point, spot=spot) == seeker.suggest(EMPTY).pulse


def test_it_stops_when_the_task_is_reached_and_says_with_what():
    adapted = optimizer()
    (first,) = adapted.suggest(1)
    assert adapted.suggest() == [first]  # the same until it is answered
    adapted.ingest([answer(first, EMPTY)])
    (second,) = adapted.suggest()
    assert second[ID_KEY] != first[ID_KEY]
    assert second["spot_sigma"] > 0  # writes anew
    adapted.ingest([answer(second, SKYRMION)])
    assert adapted.should_stop() == (False, None)
    assert adapted.get_best_points() == []
    (third,) = adapted.suggest()
    adapted.ingest([answer(third, SWITCHED)])
    assert adapted.should_stop()[0]
    ((name, settings, outcome),) = adapted.get_best_points()
    assert name == third[ID_KEY]
    assert settings["width_ps"] == third["width_ps"]
    assert outcome["one+"] == 1
    with pytest.raises(RuntimeError, match="switch reached"):
        adapted.suggest()


def test_what_is_not_its_own_is_passed_over():
    adapted = optimizer()
    (point,) = adapted.suggest()
    adapted.ingest([{**answer(point, SWITCHED), ID_KEY: "baseline"}])
    assert adapted.suggest() == [point]


def test_a_shot_that_failed_is_suggested_anew():
    adapted = optimizer()
    (point,) = adapted.suggest()
    adapted.register_failures([point])
    (again,) = adapted.suggest()
    assert again[ID_KEY] != point[ID_KEY]
    assert again["width_ps"] == point["width_ps"]


def test_it_stops_with_the_reason_of_a_seeker_that_gives_up():
    adapted = optimizer("write", EMPTY)
    while not adapted.should_stop()[0]:
        (point,) = adapted.suggest()
        adapted.ingest([answer(point, EMPTY)])
    assert adapted.should_stop()[1].startswith("write: missed at 8, ")


def test_several_at_once_are_refused():
    with pytest.raises(ValueError, match="one at a time"):
        optimizer().suggest(3)


def test_it_runs_in_the_plan_of_bluesky_adaptive():
    """Two misses, two pulses that repair, and a switch, through `optimize` and a RunEngine."""
    protocols = pytest.importorskip("bluesky_adaptive.protocols")
    plans = pytest.importorskip("bluesky_adaptive.plans")
    import bluesky.plan_stubs as bps
    from bluesky import RunEngine

    films = iter([EMPTY, SKYRMION, EMPTY, SKYRMION, SWITCHED])
    adapted = optimizer()
    assert isinstance(adapted, protocols.Optimizer)
    assert isinstance(adapted, protocols.SupportsStoppingCriteria)
    assert isinstance(adapted, protocols.TrialFaultAware)

    def acquire(suggestions, actuators, sensors=None, md=None):
        yield from bps.null()
        return [point[ID_KEY] for point in suggestions]

    def evaluate(uid, suggestions):
        return [answer(point, next(films)) for point in suggestions]

    problem = protocols.OptimizationProblem(
        optimizer=adapted, actuators=[], sensors=[], evaluation_function=evaluate,
        acquisition_plan=acquire,
    )  # fmt: skip
    RunEngine()(plans.optimize(problem, iterations=10))
    assert adapted.should_stop()[0]
    assert next(films, None) is None
    assert adapted.get_best_points()[0][2]["one+"] == 1

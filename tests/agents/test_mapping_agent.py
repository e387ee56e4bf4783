"""The mapper as an agent: it writes the skyrmion it needs, and labels what is told."""

import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis
from skyctl.agents.mapping_agent import MappingAgent, label_of
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.process import OUTCOMES
from skyctl.verdict import ShotResult

DOWN, UP, EMPTY, OTHER = (
    Belief.certain(kind, sign)
    for kind, sign in (("one", -1), ("one", 1), ("empty", -1), ("other", -1))
)
WIDTHS = Axis("width_ps", (4.0, 6.0, 8.0))
RESULT = ShotResult("s", None, None, Counts(), "", ())


def agent(rows=None, shots=4, allowed=None, memory=None, **facts) -> MappingAgent:
    rows = rows or Axis("amplitude_T", (1.0, 2.0))
    mapper = BoundaryMapper(rows, WIDTHS, OUTCOMES, seed=3, max_shots=shots)
    writer = TargetSeeker("write", (50.0, 50.0), memory, allowed)
    return MappingAgent(mapper, writer, seed=3, allowed=allowed, **facts)


def test_a_film_without_one_skyrmion_is_prepared_by_the_writer():
    memory = PulseMemory()
    mapping = agent(memory=memory)
    writing = mapping.suggest(EMPTY)
    assert (writing.action, writing.counts, writing.settings) == ("write", False, {})
    mapping.ingest(writing, EMPTY, RESULT, EMPTY)
    assert memory.write_T.guess > 8.0  # it learns
    assert mapping.suggest(OTHER).action == "erase"
    assert mapping.mapper.shots == 0
    assert mapping.points == []


@pytest.mark.parametrize("film", [DOWN, UP])
def test_its_own_shots_are_the_mapper_s_against_the_background(film):
    mapping = agent(fixed=(2.0, 30.0))
    twin = agent().mapper
    for _ in range(3):
        proposal = mapping.suggest(film)
        (point,) = twin.suggest()
        assert proposal.counts
        assert proposal.action == "map"
        assert proposal.pulse.amplitude_T == point["amplitude_T"]
        assert proposal.pulse.width_ps == point["width_ps"]
        assert proposal.pulse.theta_deg == (30.0 if film is DOWN else 150.0)
        assert proposal.reason == (
            f"amplitude_T = {point['amplitude_T']:g}, width_ps = {point['width_ps']:g}"
        )


def test_a_row_that_is_no_setting_of_a_pulse_goes_to_its_device():
    mapping = agent(Axis("damping", (0.1, 0.3), log=True))
    proposal = mapping.suggest(DOWN)
    assert list(proposal.settings) == ["damping"]
    assert proposal.settings["damping"] in (0.1, 0.3)
    assert proposal.pulse.amplitude_T == 2.0


def test_it_is_reached_when_the_mapper_stops_and_says_why():
    mapping = agent(shots=4)
    for _ in range(4):
        assert not mapping.reached(DOWN)
        mapping.ingest(mapping.suggest(DOWN), DOWN, RESULT, UP)
    assert mapping.reached(DOWN)
    assert mapping.finished == "4 shots fired, of 4"
    assert [point["label"] for point in mapping.points] == ["switching"] * 4
    assert (mapping.mapper.labels() == OUTCOMES.index("switching")).all()


def test_a_spoilt_shot_is_no_point_and_no_longer_waited_for():
    mapping = agent()
    mapping.failed(mapping.suggest(DOWN))
    assert mapping.mapper._pending == {}
    assert mapping.points == []


@pytest.mark.parametrize(
    ("after", "label"),
    [
        (DOWN, "breathing"),
        (UP, "switching"),
        (EMPTY, "collapse"),
        (OTHER, "mixed"),
        (Belief(0.93 * UP.film + 0.07 * EMPTY.film), "switching"),
        (Belief(0.87 * UP.film + 0.13 * EMPTY.film), "mixed"),
        (Belief.unknown(), "mixed"),
    ],
)
def test_a_cell_is_labelled_with_what_is_told(after, label):
    assert label_of(DOWN, after) == label


def test_a_cell_outside_the_envelope_ends_it_before_the_first_shot():
    mapping = agent(allowed=Allowed(width_ps=(1.0, 7.0)))
    for film in (EMPTY, DOWN):
        assert mapping.suggest(film) is None
        assert "width_ps = 8 is outside 1 … 7" in mapping.gave_up


def test_nothing_that_writes_says_so():
    mapping = agent(allowed=Allowed(amplitude_T=(0.0, 2.0)))
    while proposal := mapping.suggest(EMPTY):
        mapping.ingest(proposal, EMPTY, RESULT, EMPTY)
    assert mapping.gave_up.startswith("no skyrmion to start from: write: missed at ")


def test_a_probe_is_no_shot_of_the_map():
    probe = agent().probe(Belief.unknown())
    assert (probe.action, probe.counts) == ("probe", False)
    barred = agent(allowed=Allowed(amplitude_T=(1.0, 12.0)))
    assert barred.probe(DOWN) is None
    assert barred.gave_up


def test_a_mapper_of_other_classes_is_refused():
    mapper = BoundaryMapper(Axis("amplitude_T", (1.0, 2.0)), WIDTHS, ("a", "b"))
    with pytest.raises(ValueError, match=r"\('a', 'b'\)"):
        MappingAgent(mapper, TargetSeeker("write", (50.0, 50.0)))

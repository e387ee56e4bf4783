"""The bracket seeker, from film states and verdicts made by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.agents.bracket import Bracket, BracketMemory, BracketSeeker
from skyctl.frame import Counts
from skyctl.verdict import FilmState, ShotResult, Verdict

CENTRE = (49.5, 49.5)
EMPTY = FilmState(background=-1, discs=0, domains=0, reversed_sites=0)
SKYRMION = FilmState(background=-1, discs=1, domains=0, reversed_sites=50)
DOMAINS = FilmState(background=-1, discs=1, domains=2, reversed_sites=900)


def turned_over(state: FilmState) -> FilmState:
    return replace(state, background=-state.background)


def seen(label: str | None, end: FilmState | None) -> ShotResult:
    verdict = Verdict("s", 0, 0.0, ("a",), (1.0,), label)
    return ShotResult("s", verdict, end, Counts(received=1), "", (1.0,))


def shoot(seeker: BracketSeeker, before: FilmState, label: str | None, after: FilmState) -> None:
    proposal = seeker.suggest(before)
    assert proposal is not None
    seeker.ingest(proposal, before, seen(label, after), after)


def test_write_starts_with_a_local_pulse_at_the_centre():
    proposal = BracketSeeker("write", (30.0, 60.0)).suggest(EMPTY)
    assert proposal.action == "write"
    assert (proposal.pulse.spot.x, proposal.pulse.spot.y) == (30.0, 60.0)


@pytest.mark.parametrize("task", ["switch", "erase"])
def test_switch_and_erase_pulse_the_whole_film(task):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(SKYRMION)
    proposal = seeker.suggest(SKYRMION)
    assert proposal.action == task
    assert proposal.pulse.spot is None


@pytest.mark.parametrize(("task", "film"), [("write", EMPTY), ("erase", SKYRMION)])
def test_the_pulse_is_mirrored_for_a_film_that_points_up(task, film):
    down = BracketSeeker(task, CENTRE).suggest(film).pulse
    up = BracketSeeker(task, CENTRE).suggest(turned_over(film)).pulse
    assert up.theta_deg == 180.0 - down.theta_deg
    assert up.peak_field_T[2] == pytest.approx(-down.peak_field_T[2])
    assert down.peak_field_T[2] > 0


@pytest.mark.parametrize("task", ["write", "switch"])
def test_domains_are_erased_first_and_the_reason_says_so(task):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(DOMAINS)
    proposal = seeker.suggest(DOMAINS)
    assert proposal.action == "erase"
    assert str(DOMAINS) in proposal.reason


def test_a_switch_without_a_skyrmion_writes_one():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(EMPTY)
    assert seeker.suggest(EMPTY).action == "write"


def test_a_switch_that_turned_the_film_over_and_lost_its_skyrmion_turns_it_back():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(SKYRMION)
    assert seeker.suggest(turned_over(EMPTY)).action == "erase"


@pytest.mark.parametrize(
    ("task", "film", "done"),
    [
        ("write", EMPTY, False),
        ("write", SKYRMION, True),
        ("write", DOMAINS, False),
        ("erase", EMPTY, True),
        ("erase", turned_over(EMPTY), True),
        ("erase", SKYRMION, False),
        ("switch", SKYRMION, False),
        ("switch", turned_over(SKYRMION), False),
    ],
)
def test_a_task_is_reached_by_what_is_seen(task, film, done):
    assert BracketSeeker(task, CENTRE).reached(film) is done


def test_a_switch_is_reached_only_by_a_pulse_that_switched():
    seeker = BracketSeeker("switch", CENTRE)
    assert not seeker.reached(SKYRMION)
    assert not seeker.reached(turned_over(SKYRMION))
    shoot(seeker, SKYRMION, "switching", turned_over(SKYRMION))
    assert seeker.reached(turned_over(SKYRMION))


def test_switching_twice_is_not_a_switch():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(turned_over(SKYRMION))
    shoot(seeker, SKYRMION, "switching", turned_over(SKYRMION))
    assert not seeker.reached(turned_over(SKYRMION))


@pytest.mark.parametrize(
    ("task", "before", "label", "after", "direction"),
    [
        ("write", EMPTY, "nothing", EMPTY, +1),
        ("write", EMPTY, None, DOMAINS, -1),
        ("write", EMPTY, "nothing", DOMAINS, -1),  # the frame contradicts: as good as mixed
        ("switch", SKYRMION, "breathing", SKYRMION, +1),
        ("switch", SKYRMION, "collapse", EMPTY, -1),
        ("switch", SKYRMION, None, DOMAINS, +1),
        ("erase", SKYRMION, "breathing", SKYRMION, +1),
        ("erase", SKYRMION, "collapse", DOMAINS, +1),
    ],
)
def test_a_miss_moves_the_next_guess(task, before, label, after, direction):
    memory = BracketMemory()
    seeker = BracketSeeker(task, CENTRE, memory)
    bracket = {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[task]
    seeker.reached(before)
    first = bracket.guess
    shoot(seeker, before, label, after)
    assert (bracket.guess - first) * direction > 0


def test_a_skyrmion_that_switched_and_then_faded_got_too_much():
    memory = BracketMemory()
    seeker = BracketSeeker("switch", CENTRE, memory)
    seeker.reached(SKYRMION)
    first = memory.switch_ps.guess
    proposal = seeker.suggest(SKYRMION)
    seeker.ingest(proposal, SKYRMION, seen("switching", turned_over(SKYRMION)), turned_over(EMPTY))
    assert memory.switch_ps.guess < first


@pytest.mark.parametrize(
    ("task", "before", "label", "after"),
    [
        ("write", EMPTY, "nucleation", SKYRMION),
        ("switch", SKYRMION, "switching", turned_over(SKYRMION)),
        ("erase", SKYRMION, "collapse", EMPTY),
        ("erase", SKYRMION, None, EMPTY),  # what is seen counts, not what it is called
    ],
)
def test_what_worked_is_proposed_again(task, before, label, after):
    memory = BracketMemory()
    first = BracketSeeker(task, CENTRE, memory)
    first.reached(before)
    pulse = first.suggest(before).pulse
    shoot(first, before, label, after)
    again = BracketSeeker(task, CENTRE, memory)
    again.reached(before)
    assert again.suggest(before).pulse == pulse


def test_a_movie_without_a_good_frame_counts_as_mixed():
    seeker = BracketSeeker("write", CENTRE)
    proposal = seeker.suggest(EMPTY)
    seeker.ingest(proposal, EMPTY, seen("nucleation", None), DOMAINS)
    assert "mixed" in seeker.suggest(EMPTY).reason


@pytest.mark.parametrize(
    ("task", "film", "label"),
    [("write", EMPTY, "nothing"), ("switch", SKYRMION, "breathing"), ("erase", SKYRMION, "mixed")],
)
def test_it_gives_up_when_there_is_nothing_left_to_try(task, film, label):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(film)
    for _ in range(100):
        if seeker.suggest(film) is None:
            break
        shoot(seeker, film, label, film)
    assert seeker.gave_up.startswith(f"{task}: missed at ")


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'polish'.*'write'"):
        BracketSeeker("polish", CENTRE)


@given(
    boundary=st.floats(5, 47),
    guess=st.floats(4, 48),
)
@settings(max_examples=100, deadline=None)
def test_a_bracket_closes_on_a_boundary(boundary, guess):
    bracket = Bracket(4.0, 48.0, guess, 2.0)
    for _ in range(20):
        (bracket.too_little if bracket.guess < boundary else bracket.too_much)()
        if abs(bracket.guess - boundary) <= 2.0:
            return
    pytest.fail(f"{bracket.guess} after 20 shots")


def test_a_bracket_that_closed_opens_once_more_below_where_it_closed():
    """One wrong turn, at 8 of 0 … 16, is made good: what is right lies below."""
    bracket = Bracket(0.0, 16.0, 8.0, 1.0)
    upwards = []
    for _ in range(5):
        upwards.append(bracket.guess)
        bracket.too_little()
    assert upwards == [8, 12, 14, 15, 15.5]
    downwards = []
    while not bracket.exhausted and len(downwards) < 10:
        downwards.append(bracket.guess)
        bracket.too_much()
    assert downwards[0] == pytest.approx(0.85 * 15.5)
    assert downwards[-1] < 1.0


@given(st.lists(st.sampled_from(["too_little", "too_much", "worked"]), max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_bracket_never_leaves_its_bounds(answers):
    bracket = Bracket(4.0, 48.0, 24.0, 2.0)
    for answer in answers:
        getattr(bracket, answer)()
        assert 4.0 <= bracket.guess <= 48.0


def test_a_closed_bracket_reopens_once_below():
    bracket = Bracket(4.0, 48.0, 47.0, 2.0)
    bracket.too_little()
    assert bracket.guess < 47.0
    assert not bracket.exhausted
    for _ in range(20):
        bracket.too_little()
    assert bracket.exhausted


def test_success_opens_a_bracket_again():
    bracket = Bracket(4.0, 48.0, 24.0, 2.0)
    bracket.too_little()
    guess = bracket.guess
    bracket.worked()
    assert bracket.guess == guess
    bracket.too_much()
    assert bracket.guess == pytest.approx((4.0 + guess) / 2)


def test_a_first_guess_outside_the_bounds_is_refused():
    with pytest.raises(ValueError, match="outside 4 … 48"):
        Bracket(4.0, 48.0, 60.0, 2.0)

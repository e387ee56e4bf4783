"""The target seeker, from beliefs and movies made by hand, on a library of two samples."""

import re
import subprocess
import sys

import numpy as np
import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.baseline_seekers import PAPER_SWITCH, RandomSearch, RandomSeeker, RecipeSeeker
from skyctl.agents.bracket import BracketSeeker
from skyctl.agents.seeker import Bracket, PulseMemory, SwitchBelief, TargetSeeker
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.belief import Belief
from skyctl.devices.guard import Envelope, Guard
from skyctl.frame import Counts
from skyctl.verdict import FilmState, ShotResult

CENTRE = (49.5, 49.5)
EMPTY, SKYRMION, DOMAINS = (Belief.certain(kind, -1) for kind in ("empty", "one", "other"))
BREATHES, SWITCHES, COLLAPSES = np.eye(4)[:3] * 0.96 + 0.01
FIRST, TELLING, SECOND = (2.0, 40.0, 10.0), (2.5, 40.0, 16.0), (3.0, 40.0, 25.0)
SPREAD = {"flip_ps": 1.0, "furthest": 0.05, "log_size": 0.05}


def turned_over(film: Belief) -> Belief:
    kind, background = film.likeliest
    return Belief.certain(kind, -background)


def likely(kind: str, probability: float, otherwise: str = "empty") -> Belief:
    """Of a film that points down."""
    here, there = Belief.certain(kind, -1), Belief.certain(otherwise, -1)
    return Belief(probability * here.film + (1 - probability) * there.film)


def library(**changes) -> SwitchingLibrary:
    """Sample 0 switches with FIRST, sample 1 with SECOND; TELLING does not switch, but tells."""
    made = {
        "samples": np.array([[0.1, 0.6, 0.1, 0.24, 1.0], [0.4, 0.6, 0.1, 0.24, 1.0]]),
        "pulses": np.array([FIRST, TELLING, SECOND]),
        "chances": np.array(
            [[SWITCHES, BREATHES, COLLAPSES], [BREATHES, COLLAPSES, SWITCHES]],
        ),
        "flip_ps": np.array([[0.0, 0.0, 0.0], [20.0, 20.0, 20.0]]),
        "furthest": np.array([[0.2, 0.2, 0.2], [0.4, 0.4, 0.4]]),
        "log_size": np.log([30.0, 90.0]),
        "spread": SPREAD,
        "about": {},
        "sha256": "a hand-made library",
    }
    return SwitchingLibrary(**{**made, **changes})


def memory(**changes) -> PulseMemory:
    return PulseMemory(switching=SwitchBelief(library(**changes)))


def switcher(start: Belief = SKYRMION, known: PulseMemory | None = None) -> TargetSeeker:
    seeker = TargetSeeker("switch", CENTRE, known or memory())
    seeker.reached(start)
    return seeker


def movie(flip_ps: float | None, peak_ps: float = 40.0, background: int = -1) -> tuple:
    """Mean S_z a frame every 5 ps: half turned over at ``flip_ps`` after the peak, None never."""
    times = np.arange(0.0, 170.0, 5.0)
    turned = np.full(len(times), -0.98)
    if flip_ps is not None:
        turned = np.clip((times - peak_ps - flip_ps) / 10.0, -0.98, 0.98)
    return tuple(zip(times.tolist(), (-background * turned).tolist(), strict=True))


def seen(mean_sz: tuple = (), **facts) -> ShotResult:
    return ShotResult("s", None, None, Counts(received=34), "", (), mean_sz=mean_sz, **facts)


def shoot(seeker: TargetSeeker, before: Belief, after: Belief, mean_sz: tuple = ()) -> None:
    proposal = seeker.suggest(before)
    assert proposal is not None
    seeker.ingest(proposal, before, seen(mean_sz), after)


def proposed(seeker: TargetSeeker, film: Belief = SKYRMION) -> tuple[float, float, float]:
    pulse = seeker.suggest(film).pulse
    return pulse.amplitude_T, pulse.theta_deg, pulse.width_ps


# --- what it concludes -------------------------------------------------------------------------


def look(sites: int, **facts) -> ShotResult:
    """At one skyrmion of this size."""
    film = FilmState(background=-1, discs=1, domains=0, reversed_sites=sites, **facts)
    return ShotResult("look", None, film, Counts(received=1), "", ())


def sized(seeker: TargetSeeker, sites: int) -> TargetSeeker:
    seeker.saw(look(sites))
    return seeker


@pytest.mark.parametrize(("sites", "pulse"), [(30, FIRST), (90, SECOND)])
def test_the_skyrmion_s_size_at_rest_tells_samples_apart(sites, pulse):
    assert proposed(sized(switcher(), sites)) == pulse


@pytest.mark.parametrize("facts", [{"noise": 0.3}, {"domains": 1}, {"discs": 2}])
def test_a_size_that_cannot_be_measured_says_nothing(facts):
    known = memory()
    film = {"background": -1, "discs": 1, "domains": 0, "reversed_sites": 90, **facts}
    result = ShotResult("look", None, FilmState(**film), Counts(received=1), "", ())
    switcher(known=known).saw(result)
    assert known.switching.as_json()["sizes"] == []


def test_the_outcome_of_a_shot_tells_samples_apart():
    seeker = sized(switcher(), 30)
    assert proposed(seeker) == FIRST
    shoot(seeker, SKYRMION, SKYRMION)  # breathing: what only sample 1 does
    shoot(seeker, SKYRMION, SKYRMION)
    assert proposed(seeker) == SECOND


def test_an_outcome_that_is_half_known_tells_half_as_much():
    """Between one that is sure to have breathed, and one of which nothing is known."""
    after = SKYRMION, likely("one", 0.6, "other"), Belief.unknown()
    weights = []
    for film in after:
        known = memory()
        shoot(sized(switcher(known=known), 30), SKYRMION, film)
        weights.append(known.switching.weights[1])  # the sample that breathes
    sure, half, nothing = weights
    before = sized(switcher(known=(untold := memory())), 30)
    assert before.suggest(SKYRMION)
    assert nothing == pytest.approx(untold.switching.weights[1], rel=0.01)
    assert nothing * 1.1 < half < sure / 1.1


@pytest.mark.parametrize(("flip_ps", "pulse"), [(0.0, FIRST), (20.0, SECOND)])
def test_the_time_to_flip_tells_samples_apart(flip_ps, pulse):
    same = np.array([[SWITCHES, COLLAPSES, COLLAPSES], [COLLAPSES, COLLAPSES, SWITCHES]])
    known = memory(chances=same)
    seeker = switcher(known=known)
    seeker._proposed = {}
    proposal = seeker.suggest(SKYRMION)
    seeker._proposed = {proposal.pulse: 1}  # as if TELLING had been fired
    seeker.ingest(proposal, SKYRMION, seen(movie(flip_ps)), EMPTY)
    assert proposed(seeker) == pulse


def test_how_far_the_film_turned_tells_samples_apart():
    known = memory(chances=np.tile(BREATHES, (2, 3, 1)))
    seeker = switcher(known=known)
    shoot(seeker, SKYRMION, SKYRMION, tuple((5.0 * i, -0.6 if i == 8 else -1.0) for i in range(34)))
    assert known.switching.weights[0] > 0.9


def test_a_film_that_points_up_tells_the_same():
    down, up = switcher(), switcher(turned_over(SKYRMION))
    shoot(down, SKYRMION, EMPTY, movie(20.0))
    shoot(up, turned_over(SKYRMION), turned_over(EMPTY), movie(20.0, background=+1))
    assert down._memory.switching.weights == pytest.approx(up._memory.switching.weights)


def test_a_pulse_that_missed_is_not_fired_again_at_once():
    seeker = switcher(known=memory(chances=np.tile(SWITCHES, (2, 3, 1))))
    first = proposed(seeker)
    shoot(seeker, SKYRMION, EMPTY)
    assert proposed(seeker) != first


def test_a_pulse_that_switched_is_proposed_again():
    known = memory(chances=np.tile(0.5 * SWITCHES + 0.5 * COLLAPSES, (2, 3, 1)))
    seeker = switcher(known=known)
    first = proposed(seeker)
    shoot(seeker, SKYRMION, turned_over(SKYRMION))
    assert seeker.reached(turned_over(SKYRMION))
    assert proposed(switcher(known=known)) == first


def test_breathing_costs_less_than_collapse():
    """55 % that cost a skyrmion where they fail are worth less than 50 % that do not."""
    risky, safe = 0.55 * SWITCHES + 0.45 * COLLAPSES, 0.5 * SWITCHES + 0.5 * BREATHES
    seeker = switcher(known=memory(chances=np.array([[risky, safe, COLLAPSES]] * 2)))
    assert proposed(seeker) == TELLING


def test_it_gives_up_on_a_sample_that_nothing_switches():
    seeker = switcher(known=memory(chances=np.tile(BREATHES, (2, 3, 1))))
    for _ in range(20):
        if seeker.suggest(SKYRMION) is None:
            break
        assert seeker.gave_up == ""
        shoot(seeker, SKYRMION, SKYRMION)
    assert re.fullmatch(
        r"switch: \d+ shots \(\d+ breathing\) of 2 … 3 T, 40 … 40°, 10 … 25 ps, "
        r"and of 3 pulses none has a chance above \d\.\d%",
        seeker.gave_up,
    )


@pytest.mark.parametrize("task", ["write", "erase"])
def test_giving_up_names_what_missed_and_where(task):
    unit, lowest, highest = ("T", 1, 12) if task == "write" else ("ps", 8, 60)
    film = EMPTY if task == "write" else SKYRMION
    seeker = TargetSeeker(task, CENTRE, memory())
    fired = []
    while (proposal := seeker.suggest(film)) is not None:
        pulse = proposal.pulse
        fired.append(pulse.amplitude_T if task == "write" else pulse.width_ps)
        shoot(seeker, film, film)
    assert seeker.gave_up.startswith(f"{task}: missed at ")
    assert seeker.gave_up.endswith(f" {unit}, of {lowest} … {highest} {unit}")
    named = re.findall(r"[\d.]+", seeker.gave_up.split(f" {unit}, of")[0])
    assert [float(each) for each in named] == pytest.approx(sorted(fired), rel=0.01)


def test_a_write_that_worked_wipes_out_what_missed_before():
    known = memory()
    seeker = TargetSeeker("write", CENTRE, known)
    shoot(seeker, EMPTY, EMPTY)
    shoot(seeker, EMPTY, SKYRMION)
    assert known.write_T.missed("T").startswith("missed at  T")


def test_a_seeker_says_which_library_it_knows():
    assert switcher().library_sha256 == "a hand-made library"
    assert RandomSeeker("switch", CENTRE, memory()).library_sha256 == ""
    assert RecipeSeeker("switch", CENTRE, memory()).library_sha256 == ""


def test_candidates_and_reason_go_with_a_proposal():
    proposal = sized(switcher(), 30).suggest(SKYRMION)
    assert proposal.candidates[0][0] == proposal.pulse
    assert proposal.candidates[0][1] == pytest.approx(0.9, abs=0.1)
    assert len(proposal.candidates) == 3
    assert "damping looks like 0.1" in proposal.reason


# --- what it cannot see ------------------------------------------------------------------------


def test_equal_observations_make_equal_proposals():
    """Nothing but what a camera sees goes in: what the samples are does not change a pulse."""
    steps = [(SKYRMION, SKYRMION, None), (SKYRMION, EMPTY, 8.0), (SKYRMION, SKYRMION, None)]
    known = memory(), memory(samples=np.full((2, 5), 7.0))
    pulses = []
    for each in known:
        seeker, fired = switcher(known=each), []
        for before, after, flip_ps in steps:
            fired.append(seeker.suggest(before).pulse)
            shoot(seeker, before, after, movie(flip_ps))
        pulses.append(fired)
    assert pulses[0] == pulses[1]


def test_agents_import_no_bluesky_and_no_simulator():
    script = (
        "import sys, skyctl.agents.seeker, skyctl.agents.baseline_seekers, skyctl.agents.adaptive\n"
        "banned = ('bluesky', 'ophyd', 'skyctl.simulators', 'skyctl.devices', 'numba', 'torch')\n"
        "print([m for m in sys.modules if m.startswith(banned)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0)


# --- tasks -------------------------------------------------------------------------------------


def test_write_starts_with_a_local_pulse_at_the_centre():
    proposal = TargetSeeker("write", (30.0, 60.0)).suggest(EMPTY)
    assert proposal.action == "write"
    assert (proposal.pulse.spot.x, proposal.pulse.spot.y) == (30.0, 60.0)


@pytest.mark.parametrize("background", [-1, 1])
def test_erase_holds_the_film_where_it_points(background):
    film = Belief.certain("one", background)
    pulse = TargetSeeker("erase", CENTRE).suggest(film).pulse
    assert pulse.spot is None
    assert pulse.peak_field_T[2] * background > 0


@pytest.mark.parametrize("background", [-1, 1])
def test_write_and_switch_act_against_the_film(background):
    for task, kind in (("write", "empty"), ("switch", "one")):
        seeker = TargetSeeker(task, CENTRE, memory())
        state = Belief.certain(kind, background)
        seeker.reached(state)
        assert seeker.suggest(state).pulse.peak_field_T[2] * background < 0


@pytest.mark.parametrize("lost", [EMPTY, turned_over(EMPTY), DOMAINS, turned_over(DOMAINS)])
def test_a_lost_skyrmion_is_written_anew_where_the_task_began(lost):
    seeker = switcher()
    proposal = seeker.suggest(lost)
    assert proposal.action == ("write" if lost == EMPTY else "erase")
    if proposal.action == "erase":  # one pulse that leaves the film as the task found it
        assert proposal.pulse.peak_field_T[2] < 0
        assert str(lost) in proposal.reason


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
    assert TargetSeeker(task, CENTRE).reached(film) is done


def test_switching_twice_is_not_a_switch():
    seeker = switcher(turned_over(SKYRMION))
    shoot(seeker, SKYRMION, turned_over(SKYRMION))
    assert not seeker.reached(turned_over(SKYRMION))


@pytest.mark.parametrize(
    ("task", "before", "after", "direction"),
    [
        ("write", EMPTY, EMPTY, +1),
        ("write", EMPTY, DOMAINS, -1),
        ("erase", SKYRMION, SKYRMION, +1),
    ],
)
def test_a_miss_moves_the_next_write_or_erase(task, before, after, direction):
    known = memory()
    seeker = TargetSeeker(task, CENTRE, known)
    bracket = known.write_T if task == "write" else known.erase_ps
    first = bracket.guess
    shoot(seeker, before, after)
    assert (bracket.guess - first) * direction > 0


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'polish'.*'write'"):
        TargetSeeker("polish", CENTRE)


@pytest.mark.parametrize("known", [0.88, 0.92])
def test_a_write_that_may_have_worked_or_not_teaches_only_where_it_is_told(known):
    memories = memory()
    seeker = TargetSeeker("write", CENTRE, memories)
    shoot(seeker, EMPTY, likely("empty", known, "one"))
    assert (memories.write_T.guess > 8.0) is (known > 0.9)


def test_a_task_is_not_reached_by_a_film_that_only_may_be_it():
    for task, kind in (("write", "one"), ("erase", "empty")):
        seeker = TargetSeeker(task, CENTRE)
        assert not seeker.reached(likely(kind, 0.985, "other"))
        assert seeker.reached(likely(kind, 0.995, "other"))


def test_a_switch_that_most_likely_was_one_counts_once_the_film_is_told():
    seeker = switcher()
    proposal = seeker.suggest(SKYRMION)
    switched = turned_over(SKYRMION)
    unsure = Belief(0.95 * switched.film + 0.05 * EMPTY.film)
    seeker.ingest(proposal, SKYRMION, seen(), unsure)
    assert not seeker.reached(unsure)
    assert seeker.reached(switched)


def test_how_far_a_movie_that_was_ended_early_turned_is_no_evidence():
    weights = []
    for early in (False, True):
        known = memory(chances=np.tile(BREATHES, (2, 3, 1)))
        seeker = switcher(known=known)
        proposal = seeker.suggest(SKYRMION)
        seeker.ingest(proposal, SKYRMION, seen(movie(None), ended_early=early), SKYRMION)
        weights.append(known.switching.weights[0])
    assert weights[0] > 0.9
    assert weights[1] == pytest.approx(0.5)


# --- what it may not fire ----------------------------------------------------------------------

MAGNETS = {
    "7 T": {"amplitude_T": (0.0, 7.0)},
    "2 T": {"amplitude_T": (0.0, 2.0)},
    "20 ps": {"width_ps": (1.0, 20.0)},
}


def allowed(**limits) -> Allowed:
    return Allowed.from_envelope(Envelope(**limits).model_dump())


@pytest.mark.parametrize("magnet", MAGNETS)
@pytest.mark.parametrize(
    ("task", "film"), [("write", EMPTY), ("switch", SKYRMION), ("erase", SKYRMION)]
)
@pytest.mark.parametrize(
    "make",
    [
        TargetSeeker,
        BracketSeeker,
        RandomSearch,
    ],
)
def test_nothing_is_proposed_that_the_guard_refuses(magnet, task, film, make):
    """Whatever comes of it, until the agent gives up or has fired 30 pulses."""
    guard, rng = Guard(Envelope(**MAGNETS[magnet])), np.random.default_rng(0)
    for background in (-1, 1):
        film = Belief.certain(film.kind, background)
        seeker = make(task, CENTRE, None, allowed(**MAGNETS[magnet]))
        seeker.reached(film)
        for _ in range(30):
            proposal = seeker.suggest(film)
            if proposal is None:
                assert seeker.gave_up
                break
            guard.check(proposal.pulse)
            after = film if rng.random() < 0.7 else Belief.certain("other", background)
            seeker.ingest(proposal, film, seen(), after)


def test_a_magnet_that_cannot_write_is_given_up_with_the_envelope_named():
    seeker = TargetSeeker("write", CENTRE, None, allowed(**MAGNETS["2 T"]))
    fired = 0
    while (proposal := seeker.suggest(EMPTY)) is not None:
        assert proposal.pulse.amplitude_T <= 2.0
        shoot(seeker, EMPTY, EMPTY)
        fired += 1
    assert fired <= 5
    assert "which is all that the envelope leaves of 1 … 12 T" in seeker.gave_up


def test_a_library_of_which_the_envelope_leaves_nothing_is_given_up_at_once():
    seeker = TargetSeeker("switch", CENTRE, memory(), allowed(width_ps=(1.0, 5.0)))
    seeker.reached(SKYRMION)
    assert seeker.suggest(SKYRMION) is None
    assert seeker.gave_up == "switch: the envelope leaves none of the library's 3 pulses"


def test_pulses_of_the_library_outside_the_envelope_are_passed_over():
    seeker = TargetSeeker("switch", CENTRE, memory(), allowed(amplitude_T=(0.0, 2.5)))
    seeker.reached(SKYRMION)
    seeker.saw(look(90))  # the sample that SECOND, of 3 T, would switch
    assert proposed(seeker) in (FIRST, TELLING)
    assert len(seeker.suggest(SKYRMION).candidates) == 2


def test_a_recipe_outside_the_envelope_is_given_up():
    seeker = RecipeSeeker("switch", CENTRE, memory(), allowed(width_ps=(1.0, 20.0)))
    seeker.reached(SKYRMION)
    assert seeker.suggest(SKYRMION) is None
    assert seeker.gave_up.endswith("width_ps = 28 is outside 1 … 20")


def test_a_spot_is_not_moved_into_the_envelope():
    seeker = TargetSeeker("write", (90.0, 50.0), memory(), allowed(spot_x=(0.0, 80.0)))
    assert seeker.suggest(EMPTY) is None
    assert "spot_x = 90 is outside 0 … 80" in seeker.gave_up


@pytest.mark.parametrize(
    ("limits", "fires"),
    [({}, True), ({"amplitude_T": (1.0, 12.0)}, False), ({"width_ps": (1.0, 5.0)}, True)],
)
def test_a_probe_is_weak_or_is_not_fired(limits, fires):
    seeker = TargetSeeker("write", CENTRE, memory(), allowed(**limits))
    for background in (-1, 1):
        proposal = seeker.probe(Belief.certain("one", background))
        assert bool(proposal) is fires
        if proposal:
            assert proposal.pulse.dose_T2ps <= 1.6
            assert proposal.pulse.peak_field_T[2] * background < 0
        else:
            assert "leaves the film as it is" in seeker.gave_up


# --- what it remembers -------------------------------------------------------------------------


def test_memory_comes_back_to_the_last_bit():
    known = PulseMemory(write_T=Bracket(1.0, 12.0, 4.0, 0.3))
    shoot(TargetSeeker("write", CENTRE, known), EMPTY, EMPTY)
    seeker = switcher(known=known)
    shoot(seeker, SKYRMION, EMPTY, movie(3.21))
    shoot(sized(seeker, 44), SKYRMION, likely("one", 0.7), movie(None))
    back = PulseMemory.from_json(known.as_json())
    assert back.as_json() == known.as_json()
    assert back.write_T.guess == known.write_T.guess
    assert np.array_equal(back.switching.weights, known.switching.weights)
    assert switcher(known=back).suggest(SKYRMION) == switcher(known=known).suggest(SKYRMION)


# --- what it is compared with ------------------------------------------------------------------


def test_a_recipe_does_not_learn():
    seeker = RecipeSeeker("switch", CENTRE)
    seeker.reached(SKYRMION)
    shoot(seeker, SKYRMION, EMPTY, movie(3.0))
    assert seeker.suggest(SKYRMION).pulse == PAPER_SWITCH


def test_random_pulses_repeat_with_their_seed_only():
    def pulses(seed):
        seeker = RandomSeeker("switch", CENTRE, memory(), seed=seed)
        return [seeker.suggest(SKYRMION).pulse for _ in range(5)]

    assert pulses(1) == pulses(1) != pulses(2)
    assert len(set(pulses(1))) == 5


@pytest.mark.parametrize(("task", "film"), [("write", EMPTY), ("erase", SKYRMION)])
def test_a_random_search_draws_every_pulse_and_learns_nothing(task, film):
    def pulses(seed):
        seeker = RandomSearch(task, CENTRE, memory(), seed=seed)
        fired = []
        for _ in range(5):
            fired.append(seeker.suggest(film).pulse)
            shoot(RandomSearch(task, CENTRE, memory(), seed=seed), film, film)
        return fired

    assert pulses(1) == pulses(1) != pulses(2)
    assert len({pulse.width_ps for pulse in pulses(1)}) == 5
    assert {pulse.spot is None for pulse in pulses(1)} == {task == "erase"}

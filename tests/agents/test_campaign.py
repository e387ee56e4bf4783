"""The one loop, branch by branch: an agent that does as it is told, beliefs made by hand."""

from dataclasses import dataclass, field

import pytest

from skyctl.agents.campaign import (
    LOOKS_AT_MOST,
    PROBES_AT_MOST,
    Agent,
    Campaign,
    Fire,
    Look,
    Stop,
)
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

ONE, EMPTY = Belief.certain("one", -1), Belief.certain("empty", -1)
UNSURE = Belief(0.9 * ONE.film + 0.1 * EMPTY.film)
DOMAINS = Belief(0.5 * (Belief.certain("other", -1).film + Belief.certain("other", 1).film))
PULSE = Pulse(width_ps=10.0)
OWN = Proposal("erase", PULSE, "own")
PREPARES = Proposal("write", PULSE, "prepares", counts=False)
PROBE = Proposal("probe", PULSE, "probe")


def result(problem: str = "") -> ShotResult:
    return ShotResult("s", None, None, Counts(), problem, ())


@dataclass
class Told:
    """Proposes what it is given, over and over; notes what it is told. It wants an empty film."""

    proposal: Proposal | None = OWN
    probing: Proposal | None = PROBE
    task: str = "erase"
    name: str = "told"
    seed: int | None = None
    library_sha256: str = ""
    gave_up: str = "nothing left"
    learned: list[tuple] = field(default_factory=list)
    failures: list[Proposal] = field(default_factory=list)
    looks: list[ShotResult] = field(default_factory=list)
    suggested: int = 0

    def reached(self, belief):
        return belief.probability("empty") > 0.99

    def suggest(self, belief):
        self.suggested += 1
        return self.proposal

    def probe(self, belief):
        return self.probing

    def saw(self, look):
        self.looks.append(look)

    def ingest(self, *what):
        self.learned.append(what)

    def failed(self, proposal):
        self.failures.append(proposal)


def campaign(shots: int = 8, **facts) -> tuple[Campaign, Told]:
    prepare = facts.pop("prepare", 3)
    agent = Told(**facts)
    checked: Agent = agent
    return Campaign(checked, shots, prepare), agent


def fire(loop: Campaign, belief: Belief, problem: str = "", held: str = "") -> ShotResult:
    step = loop.step(belief, held)
    assert isinstance(step, Fire), step
    shot = result(problem)
    loop.fired(step.proposal, belief, shot)
    return shot


def look(loop: Campaign, belief: Belief, problem: str = "", attempt: int = 1) -> None:
    assert loop.step(belief) == Look(attempt)
    loop.looked(result(problem))


def go_blind(loop: Campaign, belief: Belief = UNSURE) -> None:
    for attempt in range(1, LOOKS_AT_MOST + 1):
        look(loop, belief, "blank", attempt)


# --- looks -------------------------------------------------------------------------------------


def test_a_film_that_nobody_has_seen_is_looked_at_first():
    loop, agent = campaign()
    look(loop, Belief.unknown())
    assert loop.step(ONE) == Fire(OWN)
    assert len(agent.looks) == 1


def test_no_look_is_taken_where_the_belief_is_sure():
    loop, agent = campaign()
    fire(loop, ONE)
    fire(loop, ONE)
    assert loop.step(EMPTY) == Stop(True)
    assert agent.looks == []
    assert (loop.pulses, loop.own) == (2, 2)


def test_it_looks_only_as_often_as_the_belief_needs():
    loop, _ = campaign()
    fire(loop, ONE)
    look(loop, UNSURE)
    look(loop, UNSURE, attempt=2)
    assert isinstance(loop.step(ONE), Fire)
    loop.fired(OWN, ONE, result())
    assert loop.step(UNSURE) == Look(1)  # counted anew


def test_of_domains_no_background_is_asked_for():
    loop, _ = campaign()
    assert not DOMAINS.is_sure
    assert isinstance(loop.step(DOMAINS), Fire)


def test_a_look_that_shows_nothing_is_not_handed_on():
    loop, agent = campaign()
    look(loop, UNSURE, "blank")
    assert agent.looks == []


# --- learning ----------------------------------------------------------------------------------


def test_the_agent_learns_when_the_film_is_known_and_once():
    loop, agent = campaign()
    shot = fire(loop, ONE)
    look(loop, UNSURE)
    assert agent.learned == []
    after = Belief.certain("other", 1)
    loop.step(after)
    assert agent.learned == [(OWN, ONE, shot, after)]
    loop.step(after)
    assert len(agent.learned) == 1


def test_it_learns_from_the_last_shot_too():
    loop, agent = campaign(shots=1)
    shot = fire(loop, ONE)
    stop = loop.step(ONE)
    assert isinstance(stop, Stop)
    assert stop.gave_up
    assert agent.learned == [(OWN, ONE, shot, ONE)]


# --- probes ------------------------------------------------------------------------------------


def test_where_looks_tell_nothing_a_probe_is_fired_and_shows_what_the_shot_did():
    loop, agent = campaign()
    shot = fire(loop, ONE)
    go_blind(loop)
    assert loop.step(UNSURE) == Fire(PROBE)
    assert agent.learned == []
    loop.fired(PROBE, UNSURE, result())
    assert loop.step(EMPTY) == Stop(True)
    assert agent.learned == [(OWN, ONE, shot, EMPTY)]  # the probe is no shot to learn from


def test_once_blind_one_look_is_enough_to_find_that_it_still_is():
    loop, _ = campaign()
    go_blind(loop)
    fire(loop, UNSURE)
    look(loop, UNSURE, "blank")
    assert loop.step(UNSURE) == Fire(PROBE)


def test_a_look_that_tells_ends_the_blindness():
    loop, _ = campaign()
    go_blind(loop)
    fire(loop, UNSURE)
    look(loop, UNSURE)
    assert loop.step(ONE) == Fire(OWN)
    loop.fired(OWN, ONE, result())
    look(loop, UNSURE)
    assert loop.step(UNSURE) == Look(2)


def test_probes_that_tell_nothing_end_it():
    loop, agent = campaign(shots=100)
    shot = fire(loop, ONE)
    go_blind(loop)
    for _ in range(PROBES_AT_MOST):
        fire(loop, UNSURE)
        look(loop, UNSURE, "blank")
    stop = loop.step(UNSURE)
    assert stop == Stop(False, f"the film cannot be seen: blank; there may be {UNSURE}")
    assert agent.learned == [(OWN, ONE, shot, UNSURE)]  # as well as it will ever be known


def test_probes_between_shots_are_counted_anew():
    loop, _ = campaign(shots=100)
    go_blind(loop)
    for _ in range(3):
        for _ in range(PROBES_AT_MOST - 1):
            fire(loop, UNSURE)
            look(loop, UNSURE, "blank")
        assert loop.step(ONE) == Fire(OWN)
        loop.fired(OWN, ONE, result())
        look(loop, UNSURE, "blank")


def test_without_a_probe_a_film_that_is_not_seen_ends_it():
    loop, _ = campaign(probing=None)
    go_blind(loop)
    stop = loop.step(UNSURE)
    assert stop.reason.startswith("nothing left; the film cannot be seen: blank")
    assert stop.gave_up


def test_a_probe_is_one_of_the_shots():
    loop, _ = campaign(shots=2)
    fire(loop, ONE)
    go_blind(loop)
    fire(loop, UNSURE)
    look(loop, UNSURE, "blank")
    assert loop.step(UNSURE).reason.startswith("not reached within 2 shots")


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_spoilt_movie_is_no_reason_to_stop_where_a_look_shows_the_film():
    loop, agent = campaign()
    fire(loop, ONE, "1 frame missing")
    assert agent.failures == [OWN]
    look(loop, UNSURE)
    fire(loop, ONE)
    assert agent.learned == []
    assert isinstance(loop.step(ONE), Fire)
    assert len(agent.learned) == 1


def test_after_a_spoilt_movie_a_belief_that_is_sure_is_not_acted_on_until_a_look_shows_the_film():
    """A movie that never came leaves the belief as it was before the pulse."""
    loop, _ = campaign()
    fire(loop, ONE, "no end of its movie")
    go_blind(loop, ONE)
    assert loop.step(ONE) == Fire(PROBE)
    loop.fired(PROBE, ONE, result())
    assert loop.step(ONE) == Fire(OWN)  # the probe's movie showed it


def test_an_empty_film_is_not_reported_by_a_belief_from_before_a_spoilt_movie():
    loop, _ = campaign()
    fire(loop, ONE, "no end of its movie")
    assert loop.step(EMPTY) == Look(1)


def test_two_spoilt_movies_in_a_row_end_it():
    loop, agent = campaign()
    fire(loop, ONE, "1 frame missing")
    look(loop, UNSURE)
    fire(loop, ONE, "2 frames missing")
    look(loop, UNSURE)
    assert loop.step(ONE) == Stop(False, "held fire: 2 frames missing")
    assert agent.suggested == 2


def test_two_spoilt_movies_that_did_it_all_the_same_are_reached():
    loop, _ = campaign()
    for _ in range(2):
        fire(loop, ONE, "1 frame missing")
        look(loop, UNSURE)
    assert loop.step(EMPTY) == Stop(True)


def test_two_probes_that_are_spoilt_end_it():
    loop, _ = campaign()
    go_blind(loop)
    fire(loop, UNSURE, "no frames")
    look(loop, UNSURE, "blank")
    fire(loop, UNSURE, "no frames")
    look(loop, UNSURE, "blank")
    assert loop.step(UNSURE) == Stop(False, "held fire: no frames")


def test_a_good_movie_between_two_spoilt_ones_lets_it_go_on():
    loop, _ = campaign()
    for problem in ("lost", "", "lost", ""):
        fire(loop, ONE, problem)
        if problem:
            look(loop, UNSURE)
    assert isinstance(loop.step(ONE), Fire)


def test_a_pulse_that_is_refused_is_tried_once_more_after_a_look():
    loop, agent = campaign()
    loop.step(ONE)
    loop.refused(OWN, "too soon")
    assert agent.failures == [OWN]
    look(loop, ONE)
    assert loop.step(ONE) == Fire(OWN)
    loop.refused(OWN, "too soon again")
    look(loop, ONE)
    assert loop.step(ONE) == Stop(False, "held fire: too soon again")
    assert loop.pulses == 0


def test_a_refusal_and_a_spoilt_movie_in_a_row_end_it():
    loop, _ = campaign()
    loop.step(ONE)
    loop.refused(OWN, "too soon")
    look(loop, ONE)
    fire(loop, ONE, "lost")
    look(loop, UNSURE)
    assert loop.step(ONE) == Stop(False, "held fire: lost")


def test_a_look_after_a_refusal_that_shows_nothing_does_not_unsettle_a_film_that_is_known():
    loop, _ = campaign()
    loop.step(ONE)
    loop.refused(OWN, "too soon")
    look(loop, ONE, "blank")
    assert loop.step(ONE) == Fire(OWN)


def test_an_interlock_is_waited_for_looking_and_then_ends_it():
    loop, agent = campaign()
    for attempt in range(1, LOOKS_AT_MOST + 1):
        assert loop.step(ONE, "the network is not sound") == Look(attempt)
        loop.looked(result())
    assert loop.step(ONE, "the network is not sound") == Stop(
        False, "held fire: the network is not sound"
    )
    assert agent.suggested == 0


def test_an_interlock_that_lets_go_while_it_looks_lets_it_go_on():
    loop, _ = campaign()
    assert loop.step(ONE, "stale") == Look(1)
    loop.looked(result())
    assert loop.step(ONE) == Fire(OWN)


def test_nothing_is_learned_or_reached_while_fire_is_held():
    loop, agent = campaign()
    fire(loop, ONE)
    for attempt in range(1, LOOKS_AT_MOST + 1):
        assert loop.step(EMPTY, "not sound") == Look(attempt)
        loop.looked(result())
    assert loop.step(EMPTY, "not sound") == Stop(False, "held fire: not sound")
    assert agent.learned == []


# --- how it ends -------------------------------------------------------------------------------


def test_a_task_that_is_reached_already_fires_nothing():
    loop, agent = campaign()
    assert loop.step(EMPTY) == Stop(True)
    assert agent.suggested == 0


def test_shots_that_are_used_up_end_it():
    loop, agent = campaign(shots=2)
    fire(loop, ONE)
    fire(loop, ONE)
    assert loop.step(ONE) == Stop(False, f"not reached within 2 shots; there is {ONE}", True)
    assert agent.suggested == 2


def test_the_last_shot_may_reach_it():
    loop, _ = campaign(shots=1)
    fire(loop, ONE)
    assert loop.step(EMPTY) == Stop(True)


def test_an_agent_that_gives_up_ends_it_with_its_reason():
    loop, _ = campaign(proposal=None)
    assert loop.step(ONE) == Stop(False, f"nothing left; there is {ONE}", True)


def test_pulses_that_prepare_are_counted_apart():
    loop, agent = campaign(shots=2, prepare=3)
    for proposal in (PREPARES, PREPARES, OWN, PREPARES, PREPARES, PREPARES, OWN):
        agent.proposal = proposal
        fire(loop, ONE)
    assert (loop.pulses, loop.own) == (7, 2)
    assert loop.step(ONE).reason.startswith("not reached within 2 shots")


def test_preparing_without_end_ends_it():
    loop, agent = campaign(shots=2, prepare=3, proposal=PREPARES)
    for _ in range(3):
        fire(loop, ONE)
    stop = loop.step(ONE)
    assert stop == Stop(False, f"write first: not reached within 3 shots; there is {ONE}", True)
    assert agent.failures == [PREPARES]  # it was proposed, and not fired
    assert len(loop.proposed) == 3


# --- modes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("proposal", [OWN, PREPARES])
def test_what_is_never_fired_is_proposed_a_few_times_with_a_look_between(proposal):
    loop, agent = campaign(shots=3, prepare=3, proposal=proposal)
    for number in range(3):
        if number:
            look(loop, ONE)
        step = loop.step(ONE)
        assert step == Fire(proposal)
        loop.proposed_only(step.proposal)
    look(loop, ONE)
    assert loop.step(ONE) == Stop(False, "shadow, nothing is fired: 3 pulses proposed")
    assert (loop.pulses, len(loop.proposed)) == (0, 3)
    assert agent.learned == []


def test_what_is_never_fired_ends_where_somebody_else_reaches_the_task():
    loop, _ = campaign()
    loop.proposed_only(loop.step(ONE).proposal)
    look(loop, ONE)
    assert loop.step(EMPTY) == Stop(True)


def test_probes_that_are_never_fired_do_not_go_on_for_ever():
    loop, _ = campaign(shots=100)
    steps = 0
    while not isinstance(step := loop.step(UNSURE), Stop):
        steps += 1
        if isinstance(step, Look):
            loop.looked(result("blank"))
        else:
            loop.proposed_only(step.proposal)
    assert steps <= LOOKS_AT_MOST + 2 * PROBES_AT_MOST
    assert "cannot be seen" in step.reason


def test_what_may_not_be_fired_at_all_ends_it():
    """A dry run, or an approver who says no."""
    loop, agent = campaign()
    loop.declined(loop.step(ONE).proposal, "not approved by Ada: lunch")
    assert loop.step(ONE) == Stop(False, "not approved by Ada: lunch")
    assert agent.failures == [OWN]
    assert loop.pulses == 0

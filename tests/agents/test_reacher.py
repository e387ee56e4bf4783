"""The reacher: what it fires at, what it learns from where a skyrmion came to stand, and when it
stops."""

import numpy as np
import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Campaign, Fire, Look, Stop
from skyctl.agents.reacher import NEAR_SITES, Misses, Reacher, Target
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.verdict import FilmState, ShotResult

TARGET = Target(((30.0, 30.0), (70.0, 40.0)))
SEEN = Belief.certain("other", -1)


def look(*places, background=-1, domains=0):
    film = FilmState(
        background, len(places), domains, 0, places=tuple((x, y, 50.0) for x, y in places)
    )
    return ShotResult("s", None, film, Counts(received=1), "", ())


def proposed(reacher, *places, **film):
    reacher.saw(look(*places, **film))
    return reacher.suggest(SEEN)


def test_skyrmions_are_paired_with_places_and_the_rest_are_extra():
    misses = Misses.of(look((70, 42), (50, 80), (31, 30)).state, TARGET)
    assert misses == Misses((), ((50, 80),))
    off = look((30 + NEAR_SITES + 0.1, 30)).state
    assert Misses.of(off, TARGET) == Misses(TARGET.places, ((30 + NEAR_SITES + 0.1, 30),))


def test_the_background_first_then_what_is_too_many_then_what_is_missing():
    reacher = Reacher(TARGET)
    assert proposed(reacher, (30, 30), background=1).pulse.spot is None
    assert proposed(reacher, (30, 30), domains=1).pulse.spot is None
    extra = proposed(reacher, (50, 80))
    assert (extra.action, extra.pulse.spot.x, extra.pulse.spot.y) == ("erase", 50, 80)
    assert extra.pulse.theta_deg == 180  # along the background
    missing = proposed(reacher, (30, 30))
    assert missing.action == "write"
    assert np.hypot(missing.pulse.spot.x - 70, missing.pulse.spot.y - 40) < 3
    assert missing.look_after


def test_a_film_that_points_up_gets_the_pulses_turned_over():
    down, up = Reacher(TARGET), Reacher(Target(((30.0, 30.0), (70.0, 40.0)), 1))
    below = proposed(down, (30, 30)).pulse
    above = proposed(up, (30, 30), background=1).pulse
    assert above.theta_deg == 180 - below.theta_deg
    assert above.spot.x - 70 == pytest.approx(below.spot.x - 70)
    assert above.spot.y - 40 == pytest.approx(-(below.spot.y - 40))


def test_it_aims_beside_where_the_last_one_came_to_stand():
    reacher = Reacher(TARGET)
    first = proposed(reacher)
    reacher.saw(look((34, 26)))
    reacher.ingest(first, SEEN, look(), SEEN)
    again = proposed(reacher, (70, 40))
    assert again.pulse.spot.x == pytest.approx(first.pulse.spot.x - 4)
    assert again.pulse.spot.y == pytest.approx(first.pulse.spot.y + 4)


def test_what_wrote_too_much_is_made_weaker_until_nothing_is_left():
    reacher, strengths = Reacher(TARGET), []
    while (proposal := proposed(reacher)) is not None:
        strengths.append(proposal.pulse.amplitude_T)
        reacher.saw(look((30, 30), (35, 35)))
        reacher.ingest(proposal, SEEN, look(), SEEN)
    assert strengths[0] == 12
    assert strengths[1] < strengths[0]
    assert "missed at" in reacher.gave_up


def test_a_campaign_looks_after_every_pulse_and_stops_when_all_are_there():
    campaign = Campaign(Reacher(TARGET), shots=5)
    assert isinstance(campaign.step(Belief()), Look)
    campaign.looked(look((30, 30)))
    fire = campaign.step(SEEN)
    assert isinstance(fire, Fire)
    campaign.fired(fire.proposal, SEEN, look())
    assert isinstance(campaign.step(SEEN), Look)
    campaign.looked(look((31, 31), (68, 40)))
    assert campaign.step(SEEN) == Stop(True)


def test_nothing_is_proposed_that_may_not_be_fired_or_that_nobody_saw():
    reacher = Reacher(TARGET, Allowed(spot_sigma=(5.0, 9.0), narrowest_spot=5.0))
    assert proposed(reacher, (30, 30)) is None or reacher.gave_up == ""
    blind = Reacher(TARGET)
    assert blind.suggest(SEEN) is None
    assert "no look" in blind.gave_up


@pytest.mark.parametrize(
    ("places", "background", "says"),
    [
        (((30, 30), (40, 30)), -1, "10.0 sites apart: give 20 or more"),
        (((30, 30),), 0, "background 0"),
        (((float("nan"), 30),), -1, "finite"),
    ],
)
def test_a_target_that_cannot_be_is_refused(places, background, says):
    with pytest.raises(ValueError, match=says):
        Target(places, background)

"""Characteriser: finds what made the answers from the mean S_z alone, and says how sure it is."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.characteriser import Characteriser, SampleGuess
from skyctl.agents.tasks import against
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.empty_film import empty_film_mean_sz
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.verdict import ShotResult

ONE_SPIN = FilmParameters(rows=20, columns=20, periodic=True)
TIMES_PS = np.arange(0.0, 166.0, 5.0)
TRUE = SampleGuess(0.15, 0.64, 0.098, 0.245, 0.97)
EMPTY = Belief.certain("empty", -1)
REPORTED = ("damping", "anisotropy_field_T", "field_calibration")


def predict(guess, pulse, times_ps):
    """One spin: the same physics, a hundredth of the time."""
    film = replace(
        ONE_SPIN, damping=guess.damping, moment_muB=guess.moment_muB,
        anisotropy_meV=guess.anisotropy_meV, dmi_meV=guess.dmi_meV,
    )  # fmt: skip
    delivered = DrawnSample(film, guess.field_calibration).delivered(pulse)
    return empty_film_mean_sz(film, delivered, times_ps)


def movie(mean_sz, times_ps=TIMES_PS):
    pairs = tuple(zip(times_ps.tolist(), mean_sz.tolist(), strict=True))
    return ShotResult("a", None, None, Counts(), "", (), mean_sz=pairs)


def characterised(seen, background=-1):
    """What is found of `TRUE` through a camera that shows ``seen(mean_sz)``."""
    agent, film = Characteriser(predict), Belief.certain("empty", background)
    while not agent.reached(film):
        proposal = agent.suggest(film)
        pulse = against(background, proposal.pulse)  # as if the film were -z
        answer = predict(TRUE, pulse, TIMES_PS)
        agent.ingest(proposal, film, movie(seen(-background * answer)), film)
    return agent.estimate()


@pytest.fixture(scope="module")
def found():
    return characterised(lambda sz: sz)


def test_three_shots_tell_damping_field_and_calibration(found):
    for name in REPORTED:
        truth = getattr(TRUE, name)
        assert found.estimates[name].value == pytest.approx(truth, rel=0.01)
        assert found.estimates[name].deviation < found.estimates[name].before / 5
    assert found.shots == 3
    assert found.misfit < 1e-4
    assert found.sample.damping == found.estimates["damping"].value


def test_what_the_shots_do_not_tell_stays_as_uncertain_as_before(found):
    dmi = found.estimates["dmi_meV"]  # one spin has no neighbour
    assert dmi.deviation == pytest.approx(dmi.before, rel=0.1)


def test_a_film_the_other_way_up_gives_the_same(found):
    turned = characterised(lambda sz: sz, background=1)
    for name in REPORTED:
        assert turned.estimates[name].value == pytest.approx(found.estimates[name].value, rel=1e-6)


def test_camera_noise_that_is_cut_off_at_1_is_seen_through():
    rng = np.random.default_rng(0)

    def seen(mean_sz):
        pixels = mean_sz[:, None] + 0.05 * rng.standard_normal((len(mean_sz), 10_000))
        return np.clip(pixels, -1, 1).mean(1)

    noisy = characterised(seen)
    for name in REPORTED:
        estimate = noisy.estimates[name]
        assert abs(estimate.value - getattr(TRUE, name)) < 4 * estimate.deviation
        assert estimate.value == pytest.approx(getattr(TRUE, name), rel=0.06)


def test_a_film_that_answers_otherwise_leaves_a_misfit(found):
    odd = characterised(lambda sz: sz + 0.02 * np.sin(TIMES_PS / 7))
    assert odd.misfit > 0.005
    assert odd.estimates["damping"].deviation > 3 * found.estimates["damping"].deviation


def test_what_cannot_be_used_is_refused():
    agent = Characteriser(predict)
    with pytest.raises(ValueError, match="nothing to estimate from"):
        agent.estimate()
    proposal = agent.suggest(EMPTY)
    with pytest.raises(ValueError, match="0 frames before the pulse"):
        agent.ingest(proposal, EMPTY, movie(np.zeros(5), np.arange(60.0, 85.0, 5.0)), EMPTY)
    with pytest.raises(ValueError, match="amplitude_T = nan"):
        Characteriser(predict, float("nan"))
    assert agent.suggest(EMPTY) == Characteriser(predict).suggest(EMPTY)  # nothing was taken in


# --- as an agent of the loop -------------------------------------------------------------------


def ring(agent, proposal, film):
    """The shot that leaves an empty film as it was."""
    sz = film.background * np.linspace(1.0, 0.9, len(TIMES_PS))
    agent.ingest(proposal, film, movie(sz), film)


def test_the_film_is_emptied_first_by_pulses_that_do_not_count():
    agent = Characteriser(predict)
    first = agent.suggest(Belief.certain("one", -1))
    assert (first.action, first.counts) == ("erase", False)
    agent.ingest(first, Belief.certain("one", -1), movie(np.zeros(2), TIMES_PS[:2]), EMPTY)
    own = agent.suggest(EMPTY)
    assert (own.action, own.counts, own.whole_movie) == ("characterise", True, True)


@pytest.mark.parametrize("left", [Belief.certain("one", -1), Belief.certain("empty", 1)])
@pytest.mark.parametrize("shots", [0, 1, 3])
def test_a_film_that_is_not_what_it_was_ends_it(left, shots):
    """Also after the last shot, and where the movie of the one that did it was lost."""
    agent = Characteriser(predict)
    for _ in range(shots):
        ring(agent, agent.suggest(EMPTY), EMPTY)
    if shots < 3:
        agent.suggest(EMPTY)  # fired, and its movie lost
    assert not agent.reached(left)
    assert agent.suggest(left) is None
    assert "the film is not what it was" in agent.gave_up


def test_a_lost_movie_is_filmed_again():
    agent = Characteriser(predict)
    first = agent.suggest(EMPTY)
    agent.failed(first)
    assert agent.suggest(EMPTY) == first
    assert agent.shots == 0


def test_pulses_the_envelope_does_not_allow_are_given_up_before_the_film_is_touched():
    allowed = Allowed(uniform_amplitude_T=2.0)
    agent = Characteriser(predict, allowed=allowed)
    assert agent.suggest(Belief.certain("one", -1)) is None
    assert "amplitude_T = 3 on the whole film is above 2" in agent.gave_up
    assert Characteriser(predict, 2.0, allowed=allowed).suggest(EMPTY)


def test_nothing_that_erases_says_so():
    allowed = Allowed(width_ps=(1.0, 5.0))
    agent = Characteriser(predict, allowed=allowed)
    assert agent.suggest(Belief.certain("one", -1)) is None
    assert agent.gave_up.startswith("no empty film to start from: erase: the envelope leaves")


@pytest.mark.parametrize("width_ps", [1.0, 3.0])
def test_strips_answer_as_the_whole_film(width_ps):
    film = FilmParameters()
    pulse = Pulse(amplitude_T=3.0, theta_deg=110.0, width_ps=width_ps, peak_ps=20.0)
    times_ps = np.arange(0.0, 60.0, 4.0)
    whole = Film(film, precision="f4")
    whole.relax()
    answer = np.array([spins[2].mean() for spins in whole.frames(pulse, list(times_ps))])
    strips = empty_film_mean_sz(film, pulse, times_ps)
    assert np.abs((strips - strips[0]) - (answer - answer[0])).max() < 5e-4
    assert np.ptp(answer) > 0.05


def test_a_spot_is_refused():
    local = Pulse(width_ps=1, spot=Spot(x=1, y=1, sigma=2))
    with pytest.raises(ValueError, match="spot"):
        empty_film_mean_sz(ONE_SPIN, local, TIMES_PS)

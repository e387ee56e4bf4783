"""Steering: sequences of fields, a film imagined and learned, and what is fired when."""

from types import SimpleNamespace

import numpy as np
import pytest

from skyctl.agents import steerer as steering
from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Look, Stop
from skyctl.agents.field_sequences import FieldSequences, drawn_sequences, varied
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.agents.steerer import Steerer, SteeringCampaign
from skyctl.agents.wanted import HOLD, Wanted, WantedPicture
from skyctl.belief import Belief
from skyctl.frame import Counts, Frame
from skyctl.simulators.physics.drive import PulseDrive
from skyctl.verdict import ShotResult

TIMES = np.arange(0, 501, 10.0)
START = np.zeros((3, 2, 4))
START[0] = 1


class Spins:
    """A network of one spin in its own field along x, which any field turns: exact, and quick."""

    def __init__(self, field=1.0, time=1.0):
        self.card = SimpleNamespace(strongest_T=0.041, horizon_ps=1100.0)
        self.field, self.time = field, time

    def encode(self, m):
        return m.mean((2, 3))[None]

    def imagine(self, z, fields_T):
        m = np.repeat(z[0], len(fields_T), 0)
        means = [m]
        for field in fields_T.transpose(1, 0, 2) * self.field:
            for _ in range(4):
                total = field * 8 + np.array([0.02, 0, 0]) * m[:, :1]
                turn = np.cross(m, total)
                m = m - 0.35 * self.time * (turn + 0.1 * np.cross(m, turn)) * 2.5
                m = m / np.linalg.norm(m, axis=1, keepdims=True)
            means.append(m)
        mean = np.stack(means, 1)
        return SimpleNamespace(
            mean=mean, spread=0 * mean[..., 0], latent=m[None], latent_before=means[-2][None]
        )

    def decode(self, z):
        return np.repeat(np.repeat(z[0][..., None, None], 2, 2), 4, 3)


def film_of(network, learns=True):
    return ImaginedThinFilm(network, START, TIMES, learns)


def test_sequences_are_possible_and_their_pulses_make_their_fields():
    rng = np.random.default_rng(0)
    drawn = drawn_sequences(300, 0.041, 500.0, rng)
    near = varied(drawn, 3, 0.041, 500.0, rng)
    for some in (drawn, near):
        assert np.linalg.norm(some.fields_T, axis=2).max() <= 0.041 + 1e-5
        assert (some.ends_ps[:, 0] >= 40).all()
        assert (np.diff(some.ends_ps, axis=1) >= 40).all()
        assert some.ends_ps.max() <= 500
    edges = np.arange(0, 511, 10.0)
    fields = drawn.averaged_T(edges)
    middles = (edges[:-1] + edges[1:]) / 2
    for number in range(5):
        pulsed = PulseDrive(drawn.pulse(number)).fields_T(middles)[:, :3]
        np.testing.assert_allclose(fields[number], pulsed, atol=1e-9)


def test_a_field_that_ends_within_an_interval_counts_for_its_part():
    one = FieldSequences(np.array([[[0.02, 0.0], [0.0, 0.01]]]), np.array([[45.0, 80.0]]))
    fields = one.averaged_T(np.arange(0, 101, 10.0))[0]
    np.testing.assert_allclose(fields[4], [0.01, 0.005, 0])
    np.testing.assert_allclose(fields.sum(0) * 10, [0.02 * 45, 0.01 * 35, 0])


def test_it_learns_by_which_factors_the_film_differs():
    film, other = film_of(Spins()), film_of(Spins(field=1.06, time=1.04))
    rng = np.random.default_rng(1)
    unseen = drawn_sequences(40, 0.03, 400.0, rng)
    before = np.abs(film.expected(unseen)[0] - other.expected(unseen)[0]).mean()
    for _ in range(2):
        fired = drawn_sequences(1, 0.03, 400.0, rng)
        film.learn(fired, other.expected(fired)[0][0])
    assert film.factors == pytest.approx((1.06, 1.04), abs=0.021)
    assert np.abs(film.expected(unseen)[0] - other.expected(unseen)[0]).mean() < 0.4 * before
    np.testing.assert_allclose(film.expected(fired)[0], other.expected(fired)[0], atol=0.01)


@pytest.mark.parametrize(("which", "field", "time"), [(0, 1.1, 1.0), (1, 1.0, 1.1)])
def test_a_stronger_field_is_no_faster_film(which, field, time):
    film, other = film_of(Spins()), film_of(Spins(field=field, time=time))
    rng = np.random.default_rng(2)
    for _ in range(5):
        fired = drawn_sequences(1, 0.03, 400.0, rng)
        film.learn(fired, other.expected(fired)[0][0])
    assert film.factors[which] > film.factors[1 - which]


def test_what_learns_nothing_stays_as_it_was():
    film, other = film_of(Spins(), learns=False), film_of(Spins(field=1.1))
    fired = drawn_sequences(1, 0.03, 400.0, np.random.default_rng(1))
    before = film.expected(fired)[0]
    film.learn(fired, other.expected(fired)[0][0])
    assert film.seen == 0
    assert np.array_equal(film.expected(fired)[0], before)


def uniform(mean):
    """The state of a film that is one spin, (3, 2, 4)."""
    return np.broadcast_to(np.asarray(mean, np.float32)[:, None, None], START.shape)


def result_of(mean, kept_times_ps=()):
    mean = np.asarray(mean)
    rows = tuple((float(t), *m) for t, m in zip(TIMES, mean.tolist(), strict=False))
    kept = tuple(
        Frame("run", "one", k, TIMES[k], 0, uniform(mean[k]))
        for k in range(len(mean))
        if TIMES[k] in kept_times_ps
    )
    return ShotResult("one", None, None, Counts(), "", (), mean_spins=rows, kept=kept)


def steered(wanted, network, other, shots=5, **options):
    """The costs of a campaign at a film that is really ``other``, and its end."""
    agent = Steerer(wanted, film_of(network), **options)
    campaign, told = SteeringCampaign(agent, shots, 3), []
    settled = [-1.0, 0, 0]
    while not isinstance(step := campaign.step(Belief()), Stop):
        if isinstance(step, Look):
            campaign.looked(result_of(np.tile(settled, (1, 1))))
            continue
        told.append(step.proposal.action)
        settled = [-1.0, 0, 0] if step.proposal.counts else [1.0, 0, 0]
        mean = np.tile(START.mean((1, 2)), (len(TIMES), 1))
        if step.proposal.counts:
            edges = np.arange(0, TIMES[-1] + 1, 10.0)
            fields = PulseDrive(step.proposal.pulse).fields_T((edges[:-1] + edges[1:]) / 2)
            mean = other.imagine(other.encode(START[None]), fields[None, :, :3]).mean[0]
        campaign.fired(step.proposal, Belief(), result_of(mean, wanted.kept_times_ps))
    return agent, told, step


def test_it_resets_before_each_shot_and_stops_where_it_is_good(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 200)
    wanted = Wanted((0.5, 0.8, 0.0), 300, 400)
    agent, told, stop = steered(wanted, Spins(), Spins(field=1.05, time=0.95))
    assert stop == Stop(True)
    assert told == ["reset", "steer"] * len(agent.costs)
    assert min(agent.costs) <= 0.15
    assert len(agent.costs) <= 3


def course(network, sequence):
    """⟨m⟩ of a film that is really ``network``, (frames, 3)."""
    fields = sequence.averaged_T(np.arange(0, TIMES[-1] + 1, 10.0))
    return network.imagine(network.encode(START[None]), fields).mean[0]


@pytest.mark.parametrize("shown", ["spins", "sx"])
def test_it_makes_the_film_look_like_a_picture(monkeypatch, shown):
    monkeypatch.setattr(steering, "_IMAGINED", 300)
    other = Spins(field=1.05, time=0.95)
    sequence = drawn_sequences(1, 0.03, 300.0, np.random.default_rng(4))
    image = uniform(course(other, sequence)[30])
    wanted = WantedPicture(image if shown == "spins" else image[0], 300.0, shown)
    agent, told, stop = steered(wanted, Spins(), other)
    assert stop == Stop(True)
    assert told == ["reset", "steer"] * len(agent.costs)
    assert min(agent.costs) <= 0.15
    assert agent.shots == ["one"] * len(agent.costs)


def test_a_picture_that_no_field_makes_is_said_and_nothing_is_fired(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 100)
    checkered = START.copy()
    checkered[0, :, ::2] = -1
    agent, told, stop = steered(WantedPicture(checkered, 300.0), Spins(), Spins())
    assert told == ["reset"]
    assert agent.costs == []
    assert "none costs less than" in stop.reason
    assert "the least cost was" not in stop.reason


def test_a_movie_without_the_frame_that_is_judged_teaches_nothing(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 20)
    agent = Steerer(WantedPicture(START, 300.0), film_of(Spins()))
    campaign = SteeringCampaign(agent, 5, 3)
    campaign.looked(result_of([[1.0, 0, 0]]))
    shot = campaign.step(Belief()).proposal
    campaign.fired(shot, Belief(), result_of(np.tile([1.0, 0, 0], (51, 1))))
    campaign.looked(result_of([[1.0, 0, 0]]))
    campaign.step(Belief())
    assert agent.costs == []
    assert agent.film.seen == 0


def test_states_are_those_of_the_expected_course_between_two_steps_too():
    film = film_of(Spins())
    film.factors = (1.03, 0.957)
    some = drawn_sequences(300, 0.03, 200.0, np.random.default_rng(3))
    means, spread = film.expected(some, 200.0)
    parts = list(film.states(some, 200.0))
    assert len(parts) > 1  # more than are decoded at once
    states = np.concatenate([m for m, _ in parts])
    np.testing.assert_allclose(states, np.broadcast_to(
        means[:, -1, :, None, None], states.shape), atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(np.concatenate([s for _, s in parts]), spread[:, -1])


def test_what_a_picture_left_over_is_expected_again():
    film, other = film_of(Spins()), film_of(Spins(field=1.2, time=0.9))
    fired = drawn_sequences(1, 0.03, 300.0, np.random.default_rng(5))
    mean = other.expected(fired)[0][0]
    seen = uniform(mean[30]).copy()
    seen[:, 0, 0] = 0, 0, 1  # which no network has learned
    film.learn(fired, mean, seen)
    ((states, spread),) = film.states(fired, 300.0)
    np.testing.assert_allclose(states[0], seen, atol=0.01)
    assert spread == 0


def test_a_movie_beyond_the_horizon_is_refused_and_says_how_long_it_may_be():
    with pytest.raises(ValueError, match="Film up to 1000 ps"):
        ImaginedThinFilm(Spins(), START, np.arange(0, 1101, 10.0))


class Divided(Spins):
    """Its members do not agree about fields along +y."""

    def imagine(self, z, fields_T):
        found = super().imagine(z, fields_T)
        there = (fields_T[..., 1] > 0).any(1)
        found.spread = found.spread + np.where(there, 1.0, 0.0)[:, None]
        return found


def test_it_fires_nothing_about_which_the_members_do_not_agree(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 300)
    wanted = Wanted((0.5, 0.8, 0.0), 300, 400)

    def chosen(network):
        return Steerer(wanted, film_of(network))._best()[0].fields_T[0, :, 1]

    assert chosen(Spins()).max() > 0
    assert chosen(Divided()).max() <= 0


def test_a_field_that_is_on_in_any_case_is_in_every_sequence(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 50)
    wanted = Wanted(HOLD.mean, 400, 500, HOLD.first)
    agent = Steerer(wanted, film_of(Spins()))
    agent._at_start = True
    pulse = agent.suggest(Belief()).pulse
    assert pulse.peak_ps + pulse.width_ps == HOLD.first[2]
    np.testing.assert_allclose(pulse.peak_field_T[:2], HOLD.first[:2], atol=1e-9)
    assert pulse.second.peak_ps - pulse.second.width_ps == HOLD.first[2]


def test_a_film_that_is_seen_elsewhere_is_brought_back_and_a_movie_from_there_teaches_nothing(
    monkeypatch,
):
    monkeypatch.setattr(steering, "_IMAGINED", 20)
    agent = Steerer(Wanted((0.5, 0.8, 0.0), 300, 400), film_of(Spins()))
    campaign = SteeringCampaign(agent, 5, 3)
    campaign.looked(result_of([[-1.0, 0, 0]]))
    assert campaign.step(Belief()).proposal.action == "reset"
    campaign.looked(result_of([[1.0, 0, 0]]))
    shot = campaign.step(Belief()).proposal
    assert shot.action == "steer"
    campaign.fired(shot, Belief(), result_of(np.tile([-1.0, 0, 0], (51, 1))))
    assert isinstance(campaign.step(Belief()), Look)
    campaign.looked(result_of([[-1.0, 0, 0]]))
    assert campaign.step(Belief()).proposal.action == "reset"
    assert agent.costs == []
    assert agent.film.seen == 0


def test_what_the_envelope_forbids_is_said_and_not_proposed():
    agent = Steerer(HOLD, film_of(Spins()), Allowed(uniform_amplitude_T=0.1))
    stop = SteeringCampaign(agent, 5, 3).step(Belief())
    assert isinstance(stop, Stop)
    assert "reset: the envelope does not allow" in stop.reason

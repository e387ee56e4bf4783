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
from skyctl.agents.wanted import HOLD, Wanted
from skyctl.belief import Belief
from skyctl.frame import Counts
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


def test_the_cost_is_what_is_off_while_it_is_wanted():
    means = np.zeros((2, len(TIMES), 3))
    means[1, 30:41] = (0.3, 0.4, 0)
    wanted = Wanted((0, 0, 0), 300, 400)
    np.testing.assert_allclose(wanted.cost(TIMES, means), [0, 0.5])
    with pytest.raises(ValueError, match="no frame in that time"):
        Wanted((0, 0, 0), 501, 505).cost(TIMES, means)
    with pytest.raises(ValueError, match="no earlier than the beginning"):
        Wanted((0, 0, 0), 400, 300)


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


def test_what_learns_nothing_stays_as_it_was():
    film, other = film_of(Spins(), learns=False), film_of(Spins(field=1.1))
    fired = drawn_sequences(1, 0.03, 400.0, np.random.default_rng(1))
    before = film.expected(fired)[0]
    film.learn(fired, other.expected(fired)[0][0])
    assert film.seen == 0
    assert np.array_equal(film.expected(fired)[0], before)


def result_of(mean):
    rows = tuple((float(t), *m) for t, m in zip(TIMES, np.asarray(mean).tolist(), strict=False))
    return ShotResult("one", None, None, Counts(), "", (), mean_spins=rows)


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
        campaign.fired(step.proposal, Belief(), result_of(mean))
    return agent, told, step


def test_it_resets_before_each_shot_and_stops_where_it_is_good(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 200)
    wanted = Wanted((0.5, 0.8, 0.0), 300, 400)
    agent, told, stop = steered(wanted, Spins(), Spins(field=1.05, time=0.95))
    assert stop == Stop(True)
    assert told == ["reset", "steer"] * len(agent.costs)
    assert min(agent.costs) <= 0.15
    assert len(agent.costs) <= 3


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

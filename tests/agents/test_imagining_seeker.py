"""The imagining seeker, from beliefs and from movies as the networks themselves show them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.film_posterior import prior
from skyctl.agents.imagined_film import ImaginedFilm, unsoftened
from skyctl.agents.imagining_seeker import ImaginingSeeker
from skyctl.agents.named import agent_maker
from skyctl.agents.sample_drift import DriftWatch
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.verdict import FilmState, ShotResult

CENTRE = (49.5, 49.5)
SKYRMION, SWITCHED, EMPTY = (
    Belief.certain("one", -1),
    Belief.certain("one", 1),
    Belief.certain("empty", -1),
)
FILM = ImaginedFilm.load()
MIDDLE = (FILM.lowest + FILM.highest) / 2


def twin(samples, pulse, times_ps, noise):
    """The networks in place of the film itself."""
    cold = np.column_stack([samples, np.zeros(len(samples))])
    return 0.98 * (unsoftened(FILM.probe_movie(cold, pulse.amplitude_T, noise)) - 1)


def switcher(
    memory: PulseMemory | None = None, start: Belief = SKYRMION, twin=twin, **options
) -> ImaginingSeeker:
    seeker = ImaginingSeeker("switch", CENTRE, memory or PulseMemory(), twin=twin, **options)
    seeker.reached(start)
    return seeker


def result(mean_sz: tuple = (), noise: float = 0.0) -> ShotResult:
    state = FilmState(-1, 1, 0, 52, noise=noise)
    return ShotResult("s", None, state, Counts(received=34), "", (), mean_sz=mean_sz)


def movie(damping: float, proposal: Proposal, background: int = -1) -> ShotResult:
    """Of a probe at a cold sample, from the networks."""
    sample = np.array([[damping, *MIDDLE[1:], 0.0]])
    change = unsoftened(FILM.probe_movie(sample, proposal.pulse.amplitude_T, 0.0)[0])
    mean_sz = -background * 0.98 * (change - 1)
    return result(tuple(zip(FILM.times_ps.tolist(), mean_sz.tolist(), strict=True)))


def probed(damping: float, memory: PulseMemory) -> ImaginingSeeker:
    seeker = switcher(memory)
    proposal = seeker.suggest(SKYRMION)
    seeker.ingest(proposal, SKYRMION, movie(damping, proposal), SKYRMION)
    return seeker


def test_an_unknown_sample_is_probed_first_and_its_whole_movie_is_wanted():
    proposal = switcher().suggest(SKYRMION)
    assert proposal.action == "switch"
    assert proposal.whole_movie
    assert proposal.pulse.amplitude_T < 0.5
    assert "weak pulse first" in proposal.reason


def test_after_a_probe_it_fires_the_pulse_that_switches_such_a_sample():
    memory = PulseMemory()
    seeker = probed(0.3, memory)
    assert len(memory.probes) == 1
    proposal = seeker.suggest(SKYRMION)
    assert not proposal.whole_movie
    sample = np.array([[0.3, *MIDDLE[1:], 0.0]])
    p = proposal.pulse
    chance = FILM.chances(sample, np.array([[p.amplitude_T, p.theta_deg, p.width_ps]]))[0, 0, 1]
    assert chance > 0.8
    assert dict(proposal.candidates)[p] > 0.7  # type: ignore[index]


def test_another_damping_gets_another_pulse():
    pulses = {str(probed(damping, PulseMemory()).suggest(SKYRMION).pulse) for damping in (0.1, 0.4)}
    assert len(pulses) == 2


def test_what_is_known_is_not_probed_again():
    memory = PulseMemory()
    probed(0.3, memory)
    assert not switcher(memory).suggest(SKYRMION).whole_movie


def test_one_without_the_film_itself_fires_at_once():
    assert not switcher(twin=None).suggest(SKYRMION).whole_movie


def test_a_camera_that_would_not_show_a_weak_pulse_gets_none():
    seeker = switcher()
    seeker.saw(result(noise=0.5))
    assert not seeker.suggest(SKYRMION).whole_movie


def test_once_a_pulse_missed_it_is_too_late_for_a_weak_one():
    seeker = switcher(allowed=Allowed(amplitude_T=(1.5, 3.0)))
    first = seeker.suggest(SKYRMION)
    seeker.ingest(first, SKYRMION, result(), EMPTY)
    assert not seeker.suggest(SKYRMION).whole_movie


def test_the_film_itself_tells_a_sample_better_than_networks_of_it():
    known = probed(0.3, PulseMemory())._likely()
    assert known[:, 0].mean() == pytest.approx(0.3, abs=0.02)
    assert known[:, 0].std() < 0.02
    assert (known[:, 5] == 0).all()


def test_a_miss_weighs_the_samples_that_the_film_itself_left():
    seeker = probed(0.3, PulseMemory())
    shot = seeker.suggest(SKYRMION)
    known = prior(FILM, 500, np.random.default_rng(0)) * [1, 1, 1, 1, 1, 0]
    seeker._fit = replace(seeker._fit, samples=known)  # as if the weak pulse had told nothing
    seeker.ingest(shot, SKYRMION, result(), EMPTY)
    p = shot.pulse
    pulse = np.array([[p.amplitude_T, p.theta_deg, p.width_ps]])
    before, after = (FILM.chances(each, pulse)[:, 0, 1] for each in (known, seeker._likely()))
    assert after.mean() < before.mean() - 0.02


def test_a_movie_that_no_cold_film_shows_is_left_to_the_networks():
    memory = PulseMemory()
    seeker = switcher(memory)
    proposal = seeker.suggest(SKYRMION)
    shown = movie(0.3, proposal).mean_sz
    other = tuple((t, sz + 0.01 * np.sin(t)) for t, sz in shown)
    seeker.ingest(proposal, SKYRMION, result(other), SKYRMION)
    assert (seeker._likely()[:, 5] > 0).any()


def test_a_film_the_other_way_up_gets_the_mirrored_pulses():
    down, up = switcher(), switcher(start=SWITCHED)
    one, other = down.suggest(SKYRMION), up.suggest(SWITCHED)
    assert other.pulse.theta_deg == 180 - one.pulse.theta_deg
    up.ingest(other, SWITCHED, movie(0.3, other, background=1), SWITCHED)
    down.ingest(one, SKYRMION, movie(0.3, one), SKYRMION)
    assert up.suggest(SWITCHED).pulse.theta_deg == 180 - down.suggest(SKYRMION).pulse.theta_deg


def test_a_probe_that_switched_by_chance_has_switched():
    seeker = switcher()
    proposal = seeker.suggest(SKYRMION)
    seeker.ingest(proposal, SKYRMION, movie(0.09, proposal), SWITCHED)
    assert seeker.reached(SWITCHED)


def test_a_miss_makes_it_fire_another_pulse():
    seeker = switcher(twin=None)
    first = seeker.suggest(SKYRMION)
    seeker.ingest(first, SKYRMION, result(), EMPTY)
    assert seeker.suggest(SKYRMION).pulse != first.pulse


def test_nothing_is_proposed_that_may_not_be_fired():
    weak = Allowed(amplitude_T=(0.0, 1.0))
    seeker = switcher(allowed=weak)
    assert seeker.suggest(SKYRMION) is None
    assert "leaves none" in seeker.gave_up
    strong = switcher(allowed=Allowed(amplitude_T=(1.5, 2.5)))
    assert 1.5 <= strong.suggest(SKYRMION).pulse.amplitude_T <= 2.5


def test_a_movie_without_frames_before_the_pulse_tells_nothing():
    memory = PulseMemory()
    seeker = switcher(memory)
    proposal = seeker.suggest(SKYRMION)
    seeker.ingest(proposal, SKYRMION, result(((100.0, -0.9), (105.0, -0.95))), SKYRMION)
    assert memory.probes == []


def test_it_notes_how_noisy_the_camera_is():
    memory = PulseMemory()
    switcher(memory).saw(result(noise=0.5))
    assert memory.noise == 0.5


def test_what_was_learned_comes_back_from_a_file():
    memory = PulseMemory()
    known = probed(0.2, memory)
    again = PulseMemory.from_json(json.loads(json.dumps(memory.as_json())))
    assert again.probes == memory.probes
    assert switcher(again).suggest(SKYRMION) == known.suggest(SKYRMION)


def test_a_sample_that_changed_is_probed_anew():
    memory = PulseMemory()
    probed(0.2, memory)
    DriftWatch(memory).forget()
    assert switcher(memory).suggest(SKYRMION).whole_movie


def test_it_is_there_by_name():
    memory = PulseMemory()
    seeker = agent_maker("imagining")("switch", CENTRE, memory, Allowed())
    assert isinstance(seeker, ImaginingSeeker)
    assert seeker.slow
    assert seeker.suggest(SKYRMION).whole_movie  # it knows the film itself


def test_what_it_computes_films_with_is_there_before_the_first_pulse():
    """Loaded in the agent's thread, between two pulses, it would hold up the RunEngine's loop."""
    script = """
import sys, numpy as np
from skyctl.agents.allowed import Allowed
from skyctl.agents.named import agent_maker
from skyctl.agents.seeker import PulseMemory
from skyctl.pulse import Pulse
from skyctl.rehearsal import twin_skyrmion
agent_maker("imagining")("switch", (49.5, 49.5), PulseMemory(), Allowed())
there = set(sys.modules)
twin_skyrmion(np.array([[0.3, 0.6, 0.1, 0.24, 1.0]]), Pulse(width_ps=1), np.array([0, 1.0]), 0.0)
assert not set(sys.modules) - there, set(sys.modules) - there
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("task", ["write", "erase"])
def test_other_tasks_it_does_as_the_target_seeker(task):
    seeker = ImaginingSeeker(task, CENTRE)
    film = EMPTY if task == "write" else SKYRMION
    assert seeker.suggest(film).action == task

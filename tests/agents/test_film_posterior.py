"""The posterior of a sample: what probes tell of it, on movies as the networks show them."""

import numpy as np
import pytest

from skyctl.agents.film_posterior import ProbeSeen, posterior, prior, reweighed
from skyctl.agents.imagined_film import ImaginedFilm, unsoftened
from skyctl.agents.outcome import NOT_SEEN, SzSignals, certain
from skyctl.agents.switching_library import Evidence, SwitchBelief
from skyctl.process import OUTCOMES

FILM = ImaginedFilm.load()
MIDDLE = (FILM.lowest + FILM.highest) / 2


def probe(sample: np.ndarray, amplitude_T: float = 0.9, noise: float = 0.0) -> ProbeSeen:
    change = unsoftened(FILM.probe_movie(sample[None], amplitude_T, noise)[0])
    times = tuple(FILM.times_ps.tolist())
    return ProbeSeen(amplitude_T, times, tuple(change.tolist()), noise, 10_000, 3)


def sample(damping: float, temperature_K: float = 0.0) -> np.ndarray:
    return np.array([damping, *MIDDLE[1:], temperature_K])


def test_before_any_shot_it_is_the_prior():
    samples = posterior(FILM, [], SwitchBelief())
    assert samples[:, :5].mean(0) == pytest.approx(MIDDLE, rel=0.05)
    assert (samples[:, 5] < 0).mean() == pytest.approx(0.5, abs=0.06)
    assert prior(FILM, 5, np.random.default_rng(0)).shape == (5, 6)


@pytest.mark.parametrize("damping", [0.1, 0.2, 0.4])
def test_a_probe_tells_the_damping(damping):
    samples = posterior(FILM, [probe(sample(damping))], SwitchBelief())
    assert samples[:, 0].mean() == pytest.approx(damping, abs=0.03)
    assert samples[:, 0].std() < 0.05


def test_a_noisy_camera_leaves_more_open():
    quiet, loud = (
        posterior(FILM, [probe(sample(0.3), noise=noise)], SwitchBelief())[:, 0].std()
        for noise in (0.0, 1.0)
    )
    assert loud > 1.3 * quiet


def test_a_warm_film_is_not_taken_for_one_of_less_damping():
    samples = posterior(FILM, [probe(sample(0.3, temperature_K=1.0))], SwitchBelief())
    assert samples[:, 0].mean() == pytest.approx(0.3, abs=0.05)


def test_a_pulse_that_missed_tells_too():
    def collapses_after(outcome: str) -> float:
        """Chance that the same pulse collapses the skyrmion."""
        belief = SwitchBelief()
        pulse = int(belief.library.chances[:, :, 1].mean(0).argmax())
        belief.saw(Evidence(pulse, tuple(certain(outcome)), NOT_SEEN))  # type: ignore[arg-type]
        chances = FILM.chances(posterior(FILM, [], belief), belief.library.pulses[pulse][None])
        return float(chances[:, 0, OUTCOMES.index("collapse")].mean())

    assert collapses_after("collapse") > 1.5 * collapses_after("switching")


def test_the_time_of_turning_over_tells_too():
    belief = SwitchBelief()
    pulse = int(belief.library.chances[:, :, 1].mean(0).argmax())
    seen = SzSignals(float(FILM.signals(sample(0.15)[None], belief.library.pulses[pulse])[0][0]), 1)
    belief.saw(Evidence(pulse, tuple(certain("collapse")), seen))
    assert (
        posterior(FILM, [], belief)[:, 0].std()
        < 0.8 * posterior(FILM, [], SwitchBelief())[:, 0].std()
    )


def test_a_warm_film_that_turns_over_earlier_is_not_taken_for_another():
    """As the film itself does: 2.9 to 3.9 ps earlier at 1 K, whatever the sample."""
    belief, truth = SwitchBelief(), sample(0.35, temperature_K=1.0)
    pulse = int(belief.library.chances[:, :, 1].mean(0).argmax())
    cold_ps = float(FILM.signals(truth[None], belief.library.pulses[pulse])[0][0])
    before = posterior(FILM, [probe(truth, 0.45)], belief)
    belief.saw(Evidence(pulse, tuple(certain("collapse")), SzSignals(cold_ps - 3.4, 1)))
    after = posterior(FILM, [probe(truth, 0.45)], belief)
    assert after[:, 0].mean() == pytest.approx(0.35, abs=0.04)
    assert after[:, 0].std() < 0.9 * before[:, 0].std()


def test_samples_are_reweighed_by_what_a_pulse_did():
    belief = SwitchBelief()
    pulse = int(belief.library.chances[:, :, 1].mean(0).argmax())
    flip_ps = float(FILM.signals(sample(0.15)[None], belief.library.pulses[pulse])[0][0])
    cold = np.array([sample(damping) for damping in np.linspace(0.1, 0.4, 301)])
    assert reweighed(FILM, cold, belief) == pytest.approx(cold)  # nothing seen, nothing changes
    belief.saw(Evidence(pulse, tuple(certain("collapse")), SzSignals(flip_ps, 1)))
    kept = reweighed(FILM, cold, belief)
    assert kept.shape == cold.shape
    assert kept[:, 0].mean() == pytest.approx(0.15, abs=0.03)
    assert kept[:, 0].std() < 0.6 * cold[:, 0].std()


def test_a_probe_comes_back_from_a_file_as_it_was():
    seen = probe(sample(0.2))
    assert ProbeSeen.from_json(seen.as_json()) == seen

"""Training movies are what they say: labelled shots of the right films, saved and read back."""

import numpy as np
import pytest

from skyctl.inference.features import frame_features
from skyctl.models.dataset import (
    CLASSES,
    FRAME_PS,
    LABEL_AFTER_PEAK_PS,
    Dataset,
    labelled_features,
    make_dataset,
    training_shot,
    training_shots,
)
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.film import Film, FilmParameters
from skyctl.simulators.movies import simulate


def test_shots_are_reproducible_and_differ_with_the_seed():
    assert list(training_shots(5, 5, 1)) == list(training_shots(5, 5, 1))
    assert list(training_shots(5, 5, 1)) != list(training_shots(5, 5, 2))


def test_skyrmion_shots_are_fired_at_50_degrees_only():
    shots = list(training_shots(30, 30, 0))
    assert {s.pulse.theta_deg for s in shots if s.start == "skyrmion"} == {50.0}
    assert any(s.pulse.spot for s in shots if s.start == "empty")
    assert not all(s.pulse.spot for s in shots if s.start == "empty")


@pytest.mark.parametrize(
    ("start", "pulse", "label"),
    [
        ("skyrmion", Pulse(width_ps=4), "breathing"),
        ("skyrmion", Pulse(width_ps=44), "collapse"),
        ("empty", Pulse(amplitude_T=1, width_ps=8), "nothing"),
        (
            "empty",
            Pulse(amplitude_T=8, width_ps=16, spot=Spot(x=49.5, y=49.5, sigma=6)),
            "nucleation",
        ),
    ],
)
def test_a_shot_is_labelled_by_what_the_film_does(start, pulse, label):
    shot = training_shot(0.36, pulse, start)
    features, index = labelled_features(iter(simulate(shot, precision="f4")), 64)
    assert CLASSES[index] == label
    assert features.shape == (int((40 + LABEL_AFTER_PEAK_PS) / FRAME_PS) + 1, 64)
    assert (np.diff(features, axis=1) > -1e-6).all()


def test_the_first_frame_is_the_film_before_the_pulse():
    film = Film(FilmParameters(damping=0.36), precision="f4")
    film.set_skyrmion()
    shot = training_shot(0.36, Pulse(width_ps=4))
    features, _ = labelled_features(iter(simulate(shot, precision="f4")), 64)
    np.testing.assert_array_equal(features[0], frame_features(film.spins[2], 64))


def test_a_data_set_survives_the_disk(tmp_path):
    shots = [
        training_shot(0.36, Pulse(width_ps=4, peak_ps=30)),
        training_shot(0.36, Pulse(amplitude_T=1, width_ps=8, peak_ps=50), "empty"),
    ]
    seen = []
    data = make_dataset(shots, 16, threads=2, progress=lambda: seen.append(1))
    assert len(seen) == 2
    assert list(data.frames) == [32, 36]
    assert not data.features[0, 32:].any()
    data.save(tmp_path / "movies.npz")
    again = Dataset.load(tmp_path / "movies.npz")
    for name in ("features", "frames", "peak_ps", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_a_foreign_file_is_named(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz.*not a skyctl data set"):
        Dataset.load(path)
    path.write_bytes(b"no zip at all")
    with pytest.raises(ValueError, match=r"other\.npz"):
        Dataset.load(path)

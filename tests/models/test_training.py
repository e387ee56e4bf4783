"""Training, on movies made up so that the right answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.inference.movie import MoviePlace
from skyctl.models.cameras import Cameras
from skyctl.models.classifier import FilmWatcher, ProcessClassifier
from skyctl.models.lives import part_of
from skyctl.models.training import (
    Settings,
    draw_batch,
    frame_times,
    make_batch,
    probabilities,
    train_classifier,
)
from skyctl.process import transition
from skyctl.pulse import FrameSchedule

QUICK = Settings(hidden=24, epochs=6, cycles=1, batch=16, learning_rate=4e-3)


def test_the_papers_network_is_the_papers():
    network = ProcessClassifier(16, 32, 3)
    assert sum(p.numel() for p in network.parameters()) == 16 * 32 + 32 * 32 + 32 * 3
    x, h = torch.randn(3, 16), torch.rand(3, 32)
    v, u, w = network.input.weight, network.recurrent.weight, network.output.weight
    logits, hidden = network.step(x, h)
    torch.testing.assert_close(hidden, 1 / (1 + torch.exp(-(x @ v.T + h @ u.T))))
    torch.testing.assert_close(logits, hidden @ w.T)


@pytest.mark.parametrize("make", [lambda: ProcessClassifier(9, 7, 3), lambda: FilmWatcher(8, 7)])
def test_frames_one_by_one_give_what_the_whole_movie_gives(make):
    torch.manual_seed(0)
    network = make()
    movies = torch.randn(2, 12, network.features)
    hidden = torch.zeros(2, 7)
    with torch.no_grad():
        whole = network(movies)
        for t in range(12):
            logits, hidden = network.step(movies[:, t], hidden)
            torch.testing.assert_close(logits, whole[:, t], atol=1e-5, rtol=1e-4)


def surprise_at_fresh(network, made_up):
    """Mean -log p of the right transition, of 18, at the end of movies it never saw."""
    fresh = made_up(6, seed=1)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    batch = draw_batch(fresh, rng, generator, noise=0.3)
    rows = np.arange(len(fresh))
    last = probabilities(network, batch)[rows, batch.there.sum(axis=1) - 1]
    return -np.log(last[rows, fresh.labels]).mean()


def test_it_begins_to_learn(made_up):
    network, _ = train_classifier(made_up(10), replace(QUICK, epochs=3))
    assert surprise_at_fresh(network, made_up) < np.log(18) - 0.1


@pytest.mark.slow
def test_it_learns_what_can_be_learned(made_up):
    network, report = train_classifier(made_up(30), replace(QUICK, epochs=20))
    assert report.held_out == 2
    fresh = made_up(12, seed=1)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    batch = draw_batch(fresh, rng, generator, noise=0.3)
    last = probabilities(network, batch)[np.arange(len(fresh)), batch.there.sum(axis=1) - 1]
    assert (last.argmax(axis=1) == fresh.labels).mean() > 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU that torch can use here")
def test_training_on_a_gpu_goes_as_on_the_cpu(made_up):
    reports = [
        train_classifier(made_up(12), replace(QUICK, epochs=1), device=device)[1]
        for device in ("cpu", "cuda")
    ]
    assert reports[1].surprise == pytest.approx(reports[0].surprise, rel=0.1)


def test_a_film_that_nothing_begins_with_is_named(made_up):
    movies = made_up(6)
    one = np.array([shot.before[0] != "other" for shot in movies.shots])
    with pytest.raises(ValueError, match="begins other"):
        train_classifier(movies.at(one), QUICK)


def test_frames_are_taken_as_a_movie_has_them():
    movie = FrameSchedule(duration_ps=165, interval_ps=5, quiet_ps=40)
    assert frame_times(0, 40, 5, 165).tolist() == movie.times_ps
    assert frame_times(10, 40, 5, 60).tolist() == [10, 30, 40, 45, 50, 55, 60]
    assert frame_times(0, 0, 20, 60).tolist() == [0, 20, 40, 60]


def test_parts_of_a_set_are_lives_apart():
    parts = [part_of(life) for life in range(100)]
    assert [parts.count(p) for p in ("training", "calibration", "test")] == [70, 20, 10]


def test_a_batch_holds_what_a_model_gets_at_run_time(made_up, made_up_shot, model):
    """Turned, scaled and with a clock as `MovieClassifier` has it, for a film that points up."""
    movies = made_up(1).at(np.array([0]))
    movies = replace(movies, shots=[made_up_shot("one", "empty", True, background=1)])
    every_5_ps = frame_times(0, 0, 5, 165)
    batch = make_batch(movies, [every_5_ps], Cameras.perfect(1), torch.Generator().manual_seed(0))
    images = movies.shots[0].cells[::5].astype(np.float32) / 127 - 1
    live = MoviePlace(model.card, images[0], movies.shots[0].pulse)
    for t, image in enumerate(images):
        expected = live.features(image, 5.0 * t)
        np.testing.assert_allclose(batch.features[0, t].numpy(), expected, atol=1e-5)
    assert batch.there.all()


def test_a_late_first_frame_and_a_turned_lattice_change_what_they_say(made_up):
    movies = made_up(1)
    perfect, generator = Cameras.perfect(10), torch.Generator().manual_seed(0)

    def taken(first_ps, turns=None):
        times = [frame_times(first_ps, 0, 10, 165)] * 10
        return make_batch(movies, times, perfect, generator, turns)

    late, whole = taken(20.0), taken(0.0)
    longest = late.times_ps.shape[1]
    np.testing.assert_array_equal(late.times_ps[0], whole.times_ps[0, 2 : 2 + longest])
    turned = taken(0.0, np.full(10, 5))
    there = whole.features[0, 0, :2500].reshape(50, 50).numpy()
    np.testing.assert_array_equal(
        turned.features[0, 0, :2500].reshape(50, 50).numpy(), np.rot90(there)[::-1]
    )


def test_noise_of_a_camera_is_what_it_says(made_up):
    movies = made_up(2)
    cameras = replace(
        Cameras.perfect(20), noise=torch.full((20,), 0.8), clipped=torch.zeros(20) > 0, pixels=100
    )
    sz = torch.full((20, 5, 50, 50), -0.5)
    seen = cameras.show(sz, torch.Generator().manual_seed(0))
    assert float(seen.mean()) == pytest.approx(-0.5, abs=0.01)
    assert float(seen.std()) == pytest.approx(0.4, rel=0.02)  # four pixels a cell
    cut = replace(cameras, clipped=torch.ones(20) > 0)
    assert float(cut.show(sz, torch.Generator().manual_seed(0)).abs().max()) <= 1
    assert len(movies) == 20


def test_a_blur_keeps_the_mean_and_widens_a_spot():
    sz = torch.full((2, 1, 50, 50), -1.0)
    sz[:, :, 25, 25] = 1
    blur = torch.tensor([0.0, 1.0])
    seen = replace(Cameras.perfect(2), blur=blur).show(sz, torch.Generator())
    assert float(seen[0, 0, 25, 25]) == pytest.approx(1, abs=1e-3)
    assert float(seen[1, 0, 25, 25]) == pytest.approx(-1 + 2 / (2 * np.pi), abs=0.02)
    torch.testing.assert_close(seen.mean(dim=(2, 3)), sz.mean(dim=(2, 3)), atol=1e-5, rtol=0)


class _KilledError(Exception):
    pass


def test_a_training_that_was_killed_goes_on_to_the_same_weights(made_up, tmp_path):
    movies = made_up(4)
    settings = replace(QUICK, epochs=2, cycles=2)
    whole, report = train_classifier(movies, settings)

    def kill(epoch, accuracy):
        if epoch == 3:
            raise _KilledError

    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(_KilledError):
        train_classifier(movies, settings, checkpoint=checkpoint, progress=kill)
    seen = []
    resumed, again = train_classifier(
        movies, settings, checkpoint=checkpoint, progress=lambda epoch, _: seen.append(epoch)
    )
    assert seen == [4]
    assert again == report
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_a_checkpoint_of_other_settings_or_movies_is_refused(made_up, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    once = replace(QUICK, epochs=1)
    train_classifier(made_up(3), once, checkpoint=checkpoint)
    with pytest.raises(ModelError, match=r"run\.checkpoint: of other movies or settings"):
        train_classifier(made_up(3), replace(once, seed=1), checkpoint=checkpoint)
    with pytest.raises(ModelError, match="other movies"):
        train_classifier(made_up(3, seed=1), once, checkpoint=checkpoint)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="cannot be read"):
        train_classifier(made_up(3), once, checkpoint=checkpoint)


def test_settings_that_train_nothing_are_refused():
    with pytest.raises(ValueError, match="1 or more"):
        Settings(epochs=0)


def test_transitions_of_shots_are_counted_from_their_background(made_up_shot, made_up):
    shots = [made_up_shot("one", "one", True, background=1), made_up_shot("one", "empty", False)]
    movies = type(made_up(1)).of(shots, np.zeros(2, int), "")
    assert movies.labels.tolist() == [
        transition("one", "one", True),
        transition("one", "empty", False),
    ]

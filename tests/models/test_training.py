"""Training, on movies made up so that the right answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.models.classifier import GatedClassifier, ProcessClassifier
from skyctl.models.training import (
    CLASSES,
    Settings,
    last_logits,
    train_classifier,
)

QUICK = Settings(hidden=16, epochs=25, batch=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def trained(made_up):
    examples = made_up(30)
    return examples, *train_classifier(examples, QUICK)


def test_the_papers_network_is_the_papers():
    network = ProcessClassifier(16, 32, 3)
    assert sum(p.numel() for p in network.parameters()) == 16 * 32 + 32 * 32 + 32 * 3
    x, h = torch.randn(3, 16), torch.rand(3, 32)
    v, u, w = network.input.weight, network.recurrent.weight, network.output.weight
    logits, hidden = network.step(x, h)
    torch.testing.assert_close(hidden, 1 / (1 + torch.exp(-(x @ v.T + h @ u.T))))
    torch.testing.assert_close(logits, hidden @ w.T)


@pytest.mark.parametrize("kind", [ProcessClassifier, GatedClassifier])
def test_frames_one_by_one_give_what_the_whole_movie_gives(kind):
    torch.manual_seed(0)
    network = kind(9, 7, 3)
    movies = torch.randn(2, 20, 9)
    hidden = torch.zeros(2, 7)
    with torch.no_grad():
        whole = network(movies)
        for t in range(20):
            logits, hidden = network.step(movies[:, t], hidden)
            torch.testing.assert_close(logits, whole[:, t], atol=1e-5, rtol=1e-4)


def test_it_learns_what_can_be_learned(trained, made_up):
    _, network, report = trained
    assert report.held_out == 18
    fresh = made_up(20, seed=1)
    assert (last_logits(network, fresh).argmax(1) == fresh.labels).mean() > 0.9


def test_a_missing_class_is_named(made_up):
    examples = made_up(4)
    with pytest.raises(ValueError, match="nucleation"):
        train_classifier(examples.at(examples.labels != CLASSES.index("nucleation")), QUICK)


def test_the_movies_that_choose_the_epoch_are_learned_from_in_no_view(made_up):
    """Poisoned in one view only, a movie that is held out leaves no trace in the weights."""
    examples = made_up(6, views=2)
    rows = np.random.default_rng(QUICK.seed).permutation(np.unique(examples.rows))
    held_out = np.isin(examples.rows, rows[:3])
    poisoned = examples.features.copy()
    poisoned[held_out & (examples.views == 1)] = 7.0
    once = replace(QUICK, epochs=1)
    clean, _ = train_classifier(examples, once)
    same, _ = train_classifier(replace(examples, features=poisoned), once)
    for a, b in zip(clean.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


class _KilledError(Exception):
    pass


def test_a_training_that_was_killed_goes_on_to_the_same_weights(made_up, tmp_path):
    examples = made_up(6)
    settings = replace(QUICK, epochs=5)
    whole, report = train_classifier(examples, settings)

    def kill(epoch, accuracy):
        if epoch == 3:
            raise _KilledError

    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(_KilledError):
        train_classifier(examples, settings, checkpoint=checkpoint, progress=kill)
    seen = []
    resumed, again = train_classifier(
        examples, settings, checkpoint=checkpoint, progress=lambda epoch, _: seen.append(epoch)
    )
    assert seen == [4, 5]
    assert again == report
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_a_checkpoint_of_other_settings_or_movies_is_refused(made_up, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    once = replace(QUICK, epochs=1)
    train_classifier(made_up(6), once, checkpoint=checkpoint)
    with pytest.raises(ModelError, match=r"run\.checkpoint: of other movies or settings"):
        train_classifier(made_up(6), replace(once, seed=1), checkpoint=checkpoint)
    with pytest.raises(ModelError, match="other movies"):
        train_classifier(made_up(6, seed=1), once, checkpoint=checkpoint)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="cannot be read"):
        train_classifier(made_up(6), once, checkpoint=checkpoint)


def test_settings_that_train_nothing_are_refused():
    with pytest.raises(ValueError, match="1 or more"):
        Settings(epochs=0)


@pytest.mark.gpu
def test_a_gpu_trains_too(made_up):
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a torch with CUDA")
    examples = made_up(30)
    network, _ = train_classifier(examples, QUICK, device="cuda")
    assert (last_logits(network, examples).argmax(1) == examples.labels).mean() > 0.9

"""The paper's network trained as the paper trains it, as far as that can work (appendix B).

Three things are ours, because with what the paper prints nothing is learned:

*First weights.* All weights of a matrix equal, as printed, keep all hidden units equal for good:
one unit, and W times one number above 0 has the same largest output always. Here they are random,
with 1 over the number of neurons in the layer before as their standard deviation.

*Steps.* The printed updates have no rate. Adam is used, its rate in each matrix proportional to the
same 1 over the number of neurons, so that a step moves what reaches a neuron alike in each layer.

*Basis.* Neighbours in a sorted list are nearly equal, so descent on V learns ⟨S_z⟩ at once and the
few sites of a skyrmion hardly ever (82.8 % of held-out movies, before this). V is learned as P·V',
with P the leading principal axes of the training frames, each scaled to unit mean square, and is
folded back afterwards. The network is the paper's: 10000 → 512 → 3, sigmoid, no biases.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from skyctl.models.classifier import ProcessClassifier

_AXES = 32
_FAINTEST = 1e-3
_RATE = 0.5
_BATCH = 32
_HELD_OUT = 0.1


@dataclass(frozen=True)
class PaperTraining:
    """How it went: movies learned from and held out, and of these the share that is named right
    (last frame), the share that also reaches 0.8, and the mean cross-entropy (eq. B5)."""

    movies: int
    held_out: int
    epochs: int
    accuracy: float
    confident: float
    cross_entropy: float


def train_paper_network(
    movies: np.ndarray,
    labels: np.ndarray,
    *,
    hidden: int = 512,
    epochs: int = 30,
    threshold: float = 0.8,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> tuple[ProcessClassifier, PaperTraining]:
    """Back-propagate the cross-entropy at the last frame through time; 10 % are held out.

    movies : (movies, frames, sites) float32, sorted S_z; labels : (movies,) int
    progress : called after each epoch

    Raises ValueError for fewer than 20 movies.
    """
    if len(movies) < 20:
        raise ValueError(f"{len(movies)} training movies: a tenth is held out, so give 20 or more")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(movies))
    held_out, training = np.split(rows, [round(_HELD_OUT * len(rows))])
    axes = _whitening(movies[training])
    inputs = torch.from_numpy(movies @ axes)
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))

    network = ProcessClassifier(inputs.shape[2], hidden, int(labels.max()) + 1)
    layers = (network.input, network.recurrent, network.output)
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=1 / layer.in_features)
    optimizer = torch.optim.Adam(
        [{"params": [layer.weight], "lr": _RATE / layer.in_features} for layer in layers]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        rng.shuffle(training)
        for start in range(0, len(training), _BATCH):
            batch = training[start : start + _BATCH]
            loss = cross_entropy(network(inputs[batch])[:, -1], targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        progress()

    with torch.no_grad():
        logits, wanted = network(inputs[held_out])[:, -1], targets[held_out]
        p = torch.softmax(logits, dim=1).gather(1, wanted[:, None])
        report = PaperTraining(
            movies=len(training),
            held_out=len(held_out),
            epochs=epochs,
            accuracy=float((logits.argmax(1) == wanted).float().mean()),
            confident=float((p >= threshold).float().mean()),
            cross_entropy=float(cross_entropy(logits, wanted)),
        )
    return _folded(network, axes), report


def _whitening(movies: np.ndarray) -> np.ndarray:
    """(sites, axes) float32: a frame times this has unit mean square along each leading axis.

    Not centred: the network has no bias that could take up a mean.
    """
    frames = torch.from_numpy(movies.reshape(-1, movies.shape[2]))
    count = min(_AXES, *frames.shape)
    _, sizes, axes = torch.svd_lowrank(frames, q=min(2 * count, *frames.shape), niter=4)
    scale = sizes[:count] / len(frames) ** 0.5
    # Fainter axes would need weights that blow up the noise of a camera, and rounding.
    kept = scale > _FAINTEST * scale[0]
    return (axes[:, :count][:, kept] / scale[kept]).numpy()


def _folded(network: ProcessClassifier, axes: np.ndarray) -> ProcessClassifier:
    """The same network on sorted S_z itself."""
    unfolded = ProcessClassifier(len(axes), network.hidden, network.output.out_features)
    with torch.no_grad():
        unfolded.input.weight.copy_(network.input.weight @ torch.from_numpy(axes).T)
        unfolded.recurrent.weight.copy_(network.recurrent.weight)
        unfolded.output.weight.copy_(network.output.weight)
    return unfolded.eval()

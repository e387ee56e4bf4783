"""Training of the film that the imagining seeker imagines (`skyctl.agents.imagined_film`)."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skyctl import __version__
from skyctl.agents.imagined_film import (
    Network,
    packed,
    probe_inputs,
    softened,
    switching_inputs,
    warm_inputs,
)
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.errors import needs
from skyctl.models.probe_shots import NOISES, PROBE, WARMEST_K, ProbeShots
from skyctl.models.seeker_library import MOVIE
from skyctl.models.warm_shots import WarmShots
from skyctl.process import OUTCOMES, SWITCHING
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import FilmParameters

with needs("train"):
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

_ROWS = 60_000
"""Of the library's samples × pulses that are learned from: one in three."""
_PASSES = {"batch_size": 256, "learning_rate_init": 2e-3, "alpha": 1e-4, "tol": 0.0}
_OUTCOME = {"hidden_layer_sizes": (48, 48), "max_iter": 25, **_PASSES}
_SIGNAL = {"hidden_layer_sizes": (24, 24), "max_iter": 5, **_PASSES}
_SIZE = {"hidden_layer_sizes": (16,), "max_iter": 500, "alpha": 1e-3}
_WARM = {"hidden_layer_sizes": (24, 24), "max_iter": 600, "alpha": 3.0}
_PROBE = {"hidden_layer_sizes": (64, 64), "alpha": 1e-2, "max_iter": 1500, "tol": 1e-6}
_COMPONENTS = 16
_LEFT_OUT = 5
"""One shot in so many is kept back, to tell how far predictions are off."""
_RESTING_PS = PROBE.peak_ps - 3 * PROBE.width_ps


def fit_imagined_film(
    library: SwitchingLibrary,
    probes: ProbeShots,
    warm: WarmShots,
    path: Path,
    *,
    command: str = "",
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Fit the networks and write what the agent reads (.npz); ``progress`` comes 3 times.

    library : what is known of pulses that switch, which the networks learn to say of any sample
    warm : shots at warm films
    All seeds are fixed: equal shots make an equal file. Returns how good the fit is on samples left
    out: ``divergence`` of the chances from the library's, nats; ``movie`` and ``warm_movie`` :
    r.m.s. error of a probe's movie, `softened`, the film's thermal noise in the latter.
    """
    with warnings.catch_warnings():
        # The passes are set: running out of them is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        switching, divergence = _switching(library)
        progress()
        seen = _seen(probes)
        coefficients, components = _principal(seen)
        left_out = np.arange(len(probes)) % _LEFT_OUT == 0
        error = seen[left_out] - (
            _probe_network(probes, components, coefficients, ~left_out)(
                _inputs_of(probes)[left_out]
            )
            @ components
        )
        progress()
        errors = _errors(error, probes, left_out)
        warm_K = float(probes.temperatures_K[left_out & (probes.temperatures_K > 0)].mean())
        every = np.ones(len(probes), bool)
        networks = {
            **switching,
            "probe": _probe_network(probes, components, coefficients, every),
            "warm": _warm_network(warm, switching["outcome"]),
        }
        progress()
    movie, warm_movie = (float(np.sqrt(np.trace(each) / len(each))) for each in errors)
    fit = {"divergence": divergence, "movie": movie, "warm_movie": warm_movie}
    low, high = _ranges()
    path.write_bytes(
        packed(
            networks,
            {
                "lowest": low, "highest": high, "components": components.astype(np.float32),
                "times_ps": np.array(MOVIE.times_ps), "noises": np.array(NOISES),
                "errors": np.stack(errors),
            },
            {
                "warmest_K": WARMEST_K, "probe_width_ps": PROBE.width_ps, "resting_ps": _RESTING_PS,
                "probe_theta_deg": PROBE.theta_deg, "warm_K": warm_K, "spread": library.spread,
                "about": {
                    "command": command, "library": library.sha256, "skyctl": __version__,
                    "scikit-learn": sklearn.__version__, "fit": fit,
                },
            },
        )
    )  # fmt: skip
    return fit


def _ranges() -> tuple[np.ndarray, np.ndarray]:
    """(5,) lowest and (5,) highest of what `SampleSpread` draws."""
    spread, film = SampleSpread(), FilmParameters()
    relative = np.array([spread.moment, spread.anisotropy, spread.dmi, spread.field])
    nominal = np.array([film.moment_muB, film.anisotropy_meV, film.dmi_meV, 1.0])
    low, high = spread.damping or (film.damping, film.damping)
    return np.append(low, nominal * (1 - relative)), np.append(high, nominal * (1 + relative))


def _switching(library: SwitchingLibrary) -> tuple[dict[str, Network], float]:
    """Networks that say of any sample what the library says of its own, and how far the chances
    are off on samples left out (Kullback and Leibler's divergence, nats)."""
    samples, pulses = library.chances.shape[:2]
    of_sample = np.repeat(np.arange(samples), pulses)
    x = switching_inputs(library.samples[of_sample], np.tile(library.pulses, (samples, 1)))
    logits = np.log(library.chances).reshape(len(x), -1)
    logits -= logits.mean(axis=1, keepdims=True)
    held = of_sample % _LEFT_OUT == 0
    rows = np.random.default_rng(0).choice(np.flatnonzero(~held), _ROWS, replace=False)
    outcome = _regressor(x[rows], logits[rows], **_OUTCOME)
    said, found = _softmax(logits[held]), _softmax(outcome(x[held]))
    divergence = float((said * np.log(said / found)).sum(axis=1).mean())
    moment = library.samples[of_sample, 1]
    networks = {
        "outcome": outcome,
        "flip": _regressor(x[rows], (library.flip_ps.ravel() / moment)[rows], **_SIGNAL),
        "furthest": _regressor(x[rows], library.furthest.ravel()[rows], **_SIGNAL),
        "size": _regressor(library.samples[:, 2:4], library.log_size, **_SIZE),
    }
    return networks, divergence


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _seen(probes: ProbeShots) -> np.ndarray:
    """(shots, noises × frames) what is to be predicted: `softened` change against rest."""
    rest = probes.seen[:, :, np.array(MOVIE.times_ps) <= _RESTING_PS].mean(axis=2, keepdims=True)
    return softened(probes.seen / -rest + 1).reshape(len(probes), -1)


def _inputs_of(probes: ProbeShots) -> np.ndarray:
    return probe_inputs(
        np.column_stack([probes.samples, probes.temperatures_K]), probes.amplitudes_T
    )


def _principal(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of shots (shots, noises × frames): how much (shots, n) of each principal component is in
    them, about 1, and the components (n, noises × frames)."""
    _, values, components = np.linalg.svd(seen, full_matrices=False)
    scale = values[:_COMPONENTS] / np.sqrt(len(seen))
    components = components[:_COMPONENTS] * scale[:, None]
    return seen @ np.linalg.pinv(components), components


def _probe_network(
    probes: ProbeShots,
    components: np.ndarray,
    coefficients: np.ndarray,
    rows: np.ndarray,
) -> Network:
    """A component counts as much as it moves the movie."""
    importance = np.linalg.norm(components, axis=1) ** 0.5
    return _regressor(_inputs_of(probes)[rows], coefficients[rows], importance, **_PROBE)


def _errors(
    error: np.ndarray, probes: ProbeShots, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(frames, frames) covariances of the error without camera noise, of cold and of warm films."""
    frames = len(MOVIE.times_ps)
    first = error[:, :frames]
    cold = probes.temperatures_K[rows] == 0
    return tuple(e.T @ e / len(e) for e in (first[cold], first[~cold]))  # type: ignore[return-value]


def _warm_network(shots: WarmShots, outcome: Network) -> Network:
    """Says the logit of switching; ``outcome`` is the network of cold films."""
    logits = outcome(switching_inputs(shots.samples, shots.pulses))
    x = warm_inputs(shots.samples, shots.pulses, logits)
    mean, scale = x.mean(0), x.std(0)
    model = MLPClassifier(random_state=0, **_WARM)
    model.fit((x - mean) / scale, shots.outcomes == OUTCOMES.index(SWITCHING))
    return Network(tuple(model.coefs_), tuple(model.intercepts_), mean, scale)


def _regressor(
    x: np.ndarray, y: np.ndarray, importance: np.ndarray | float = 1.0, **settings: Any
) -> Network:
    """importance : (outputs,) how much each output counts, once all are standardised"""
    mean, scale = x.mean(0), x.std(0)
    y = y.reshape(len(y), -1)
    middle, unit = y.mean(0), np.maximum(y.std(0), 1e-12) / importance
    model = MLPRegressor(random_state=0, **settings)
    target = (y - middle) / unit
    model.fit((x - mean) / scale, target[:, 0] if y.shape[1] == 1 else target)
    *inner, last = model.coefs_
    *offsets, offset = model.intercepts_
    return Network((*inner, last * unit), (*offsets, offset * unit + middle), mean, scale)

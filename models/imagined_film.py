"""Training of the film that the imagining seeker imagines (`skyctl.agents.imagined_film`)."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skyctl import __version__
from skyctl.agents.imagined_film import Network, packed, probe_inputs, softened, switching_inputs
from skyctl.agents.outcome import signals
from skyctl.errors import needs
from skyctl.models.probe_shots import AMPLITUDES_T, NOISES, PROBE, WARMEST_K, ProbeShots
from skyctl.models.seeker_library import MOVIE, SHOTS_PER_FILM, LibraryShots
from skyctl.process import OUTCOMES
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import FilmParameters

with needs("train"):
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

_MEMBERS = 5
_OUTCOME = {"hidden_layer_sizes": (48, 48), "alpha": 0.3, "max_iter": 400}
_SIGNAL = {"hidden_layer_sizes": (32, 32), "alpha": 0.3, "max_iter": 400}
_PROBE = {"hidden_layer_sizes": (64, 64), "alpha": 1e-2, "max_iter": 1500, "tol": 1e-6}
_COMPONENTS = 16
_LEFT_OUT = 5
"""One shot in so many is kept back, to tell how far predictions are off."""
_RESTING_PS = PROBE.peak_ps - 3 * PROBE.width_ps


def fit_imagined_film(
    shots: LibraryShots,
    probes: ProbeShots,
    path: Path,
    *,
    command: str = "",
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fit the networks and write what the agent reads (.npz); ``progress`` comes 3 times.

    All seeds are fixed: equal shots make an equal file. Returns how good the fit is on films left
    out: ``log_loss`` of the outcomes and ``prior_log_loss`` of their frequencies alone, nats;
    ``likely`` and ``switched`` : mean chance of switching of the twentieth of the shots that have
    the highest, and the share of them that did; ``movie`` : r.m.s. of a cold probe's movie.
    """
    with warnings.catch_warnings():
        # Weight decay bounds the networks, not the passes: running out of passes is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        switching, spread, fit = _switching(shots)
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
        cold, warm = _errors(error, probes, left_out)
        warm_K = float(probes.temperatures_K[left_out & (probes.temperatures_K > 0)].mean())
        every = np.ones(len(probes), bool)
        networks = {
            **switching,
            "probe": _probe_network(probes, components, coefficients, every),
            "kept": _classifier(_inputs_of(probes), probes.kept, alpha=0.1),
        }
        progress()
    fit["movie"] = float(np.sqrt(np.trace(cold) / len(cold)))
    low, high = _ranges()
    path.write_bytes(
        packed(
            networks,
            {
                "lowest": low, "highest": high, "components": components.astype(np.float32),
                "times_ps": np.array(MOVIE.times_ps), "noises": np.array(NOISES),
                "errors": np.stack([cold, warm]),
            },
            {
                "warmest_K": WARMEST_K, "probe_width_ps": PROBE.width_ps, "resting_ps": _RESTING_PS,
                "probe_theta_deg": PROBE.theta_deg, "probe_amplitudes_T": AMPLITUDES_T,
                "warm_K": warm_K, "spread": spread,
                "about": {
                    "command": command, "skyctl": __version__,
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


def _switching(
    shots: LibraryShots,
) -> tuple[dict[str, Network], dict[str, float], dict[str, Any]]:
    """The networks of shots that are to switch; the signals' spread; how good the fit is."""
    x = switching_inputs(shots.samples, shots.pulses)
    films = np.arange(len(shots)) // SHOTS_PER_FILM
    held = films % _LEFT_OUT == 0
    members = [_classifier(x[~held], shots.outcomes[~held], i) for i in range(_MEMBERS)]
    chances = np.mean([_probabilities(member(x[held])) for member in members], axis=0)
    fit = _fit_report(chances, shots.outcomes[held])
    networks = {f"outcome{i}": _classifier(x, shots.outcomes, i) for i in range(_MEMBERS)}
    times_ps, peak_ps = np.array(MOVIE.times_ps), Pulse(width_ps=1).peak_ps
    seen = [signals(times_ps, trace, -1, peak_ps) for trace in shots.traces]
    flips, furthest = np.array([[s.flip_ps, s.furthest] for s in seen]).T
    moment = shots.samples[:, 1]
    spread: dict[str, float] = {}
    for name, inputs, y, unit, rows in (
        ("flip", x, flips / moment, moment, np.isfinite(flips)),
        ("furthest", x, furthest, np.ones(len(shots)), np.isnan(flips)),
        ("size", shots.samples[:, 2:4], np.log(shots.sizes), np.ones(len(shots)), films >= 0),
    ):
        fitted = _regressor(inputs[rows & ~held], y[rows & ~held], **_SIGNAL)
        off = y[rows & held] - fitted(inputs[rows & held])[:, 0]
        spread[name] = float(np.std(off * unit[rows & held]))
        networks[name] = _regressor(inputs[rows], y[rows], **_SIGNAL)
    return networks, spread, fit


def _fit_report(chances: np.ndarray, outcomes: np.ndarray) -> dict[str, Any]:
    switching = OUTCOMES.index("switching")
    likeliest = np.argsort(-chances[:, switching], kind="stable")[: max(1, len(outcomes) // 20)]
    frequency = np.bincount(outcomes, minlength=len(OUTCOMES)) / len(outcomes)
    floor = 0.99 * chances + 0.01 / len(OUTCOMES)
    return {
        "log_loss": float(-np.log(floor[np.arange(len(outcomes)), outcomes]).mean()),
        "prior_log_loss": float(-np.log(frequency[outcomes]).mean()),
        "likely": float(chances[likeliest, switching].mean()),
        "switched": float((outcomes[likeliest] == switching).mean()),
    }


def _probabilities(logits: np.ndarray) -> np.ndarray:
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


def _classifier(x: np.ndarray, y: np.ndarray, seed: int = 0, **changed: Any) -> Network:
    mean, scale = x.mean(0), x.std(0)
    model = MLPClassifier(random_state=seed, **{**_OUTCOME, **changed})
    model.fit((x - mean) / scale, y)
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

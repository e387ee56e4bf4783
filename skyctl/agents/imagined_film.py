"""The film as an agent imagines it: networks that say what a pulse would do to a sample, and show.

They were trained on simulated shots (`skyctl train imagined-film`), and give in milliseconds what
the film itself takes a second for.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.agents.library_file import read_library
from skyctl.process import OUTCOMES, SWITCHING

_FILE = "imagined-film.npz"
SAMPLE_COLUMNS = ("damping", "moment_muB", "anisotropy_meV", "dmi_meV", "field_calibration")
"""Numbers of a sample; an imagined one has its temperature (K) as a sixth, below 0 a cold one."""
_SOFTENING = 0.015
"""Change of the mean S_z from which on a movie's reading counts errors relative to it."""
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of ReLUs: (rows, inputs) to (rows, outputs).

    weights, biases : of each layer; mean, scale : what inputs are standardised by
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        h = ((x - self.mean) / self.scale).astype(np.float32)
        *inner, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            h = np.maximum(h @ weight + bias, 0)
        return h @ last[0] + last[1]

    def as_arrays(self, name: str) -> dict[str, np.ndarray]:
        """For a file, float32, under names that begin with ``name``."""
        arrays = {f"{name}/mean": self.mean, f"{name}/scale": self.scale}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"{name}/weight{i}": weight, f"{name}/bias{i}": bias}
        return {key: np.asarray(value, np.float32) for key, value in arrays.items()}

    @classmethod
    def from_arrays(cls, file: Mapping[str, np.ndarray], name: str) -> "Network":
        """What ``as_arrays`` gave. Raises KeyError where it is not there."""
        layers = sum(key.startswith(f"{name}/weight") for key in file)
        return cls(
            tuple(file[f"{name}/weight{i}"] for i in range(layers)),
            tuple(file[f"{name}/bias{i}"] for i in range(layers)),
            file[f"{name}/mean"],
            file[f"{name}/scale"],
        )


def switching_inputs(samples: np.ndarray, pulses: np.ndarray) -> np.ndarray:
    """(rows, 6) what a film's motion depends on: ln α, K, D, field, ln duration, angle.

    samples (rows, 5 or more), pulses (rows, 3) amplitude (T), angle (degrees), width (ps). The
    couplings being fixed, a film of another moment μ_s goes through the same states in 1/μ_s of
    the field and μ_s times the time: moment and calibration need no input of their own.
    """
    damping, moment, anisotropy, dmi, calibration = samples[:, :5].T
    amplitude, theta, width = pulses.T
    return np.column_stack(
        [
            np.log(damping),
            anisotropy,
            dmi,
            amplitude * calibration * moment,
            np.log(width / moment),
            np.deg2rad(theta),
        ]
    )


def probe_inputs(samples: np.ndarray, amplitude_T: float | np.ndarray) -> np.ndarray:
    """(rows, 7) what a probe's movie depends on; samples (rows, 6)."""
    damping, moment, anisotropy, dmi, calibration, temperature_K = samples.T
    field, warm = amplitude_T * calibration, np.maximum(temperature_K, 0)
    return np.column_stack([np.log(damping), moment, anisotropy, dmi, field, field**2, warm])


def unsoftened(read: np.ndarray) -> np.ndarray:
    """What `softened` makes of it again."""
    return _SOFTENING * np.sinh(read / _SOFTENING)


def softened(change: np.ndarray) -> np.ndarray:
    """A movie's change of mean S_z on the scale on which it is read: small ones as they are, of
    large ones the logarithm."""
    return _SOFTENING * np.arcsinh(change / _SOFTENING)


@dataclass(frozen=True, eq=False)
class ImaginedFilm:
    """What the networks were trained to say, and how far they can be relied on.

    lowest, highest : (5,) of SAMPLE_COLUMNS, the samples it was made for; warmest_K
    outcome : logits of an outcome's chances; flip : when half of the film turned
        over, in units of the moment; furthest : the share that did; size : ln of the skyrmion's
        sites at rest
    warm : logit that a pulse switches a warm film
    probe : a probe's movie, ``components`` (n, noises × frames) of it
    times_ps, noises : of the movie's frames; of the camera, in units of S_z
    resting_ps : up to when a probe does nothing yet
    probe_width_ps, probe_theta_deg : of the probes
    errors : (2, frames, frames) covariance of the movie's prediction, of cold films and of those at
        ``warm_K``
    spread : standard deviations of flip, furthest and size about what is expected
    about : the command that makes the file again, versions, how good the fit was; sha256 : of it
    """

    lowest: np.ndarray
    highest: np.ndarray
    warmest_K: float
    outcome: Network
    flip: Network
    furthest: Network
    size: Network
    warm: Network
    probe: Network
    components: np.ndarray
    times_ps: np.ndarray
    noises: np.ndarray
    resting_ps: float
    probe_width_ps: float
    probe_theta_deg: float
    errors: np.ndarray
    warm_K: float
    spread: dict[str, float]
    about: dict[str, Any]
    sha256: str

    @classmethod
    def load(cls, path: Path | None = None) -> "ImaginedFilm":
        """Read what `skyctl train imagined-film` wrote; None: the shipped one, read once.

        Raises LibraryError for anything else.
        """
        return _read(path) if path else _shipped()

    def chances(self, samples: np.ndarray, pulses: np.ndarray) -> np.ndarray:
        """(samples, pulses, len(OUTCOMES)) of what pulses (pulses, 3) do to one skyrmion each;
        samples (samples, 5) are cold, and so are (samples, 6) where their temperature is."""
        # In pieces: while numpy holds the interpreter, an event loop beside it stands still.
        step = max(1, _ROWS_AT_ONCE // len(pulses))
        pieces = [samples[i : i + step] for i in range(0, len(samples), step)]
        return np.concatenate([self._chances(piece, pulses) for piece in pieces])

    def _chances(self, samples: np.ndarray, pulses: np.ndarray) -> np.ndarray:
        rows, columns = len(samples), len(pulses)
        each, pulses = np.repeat(samples, columns, 0), np.tile(pulses, (rows, 1))
        logits = self.outcome(switching_inputs(each, pulses))
        chances = _softmax(logits)
        if samples.shape[1] > len(SAMPLE_COLUMNS) and (warm := each[:, -1] > 0).any():
            x = warm_inputs(each[warm], pulses[warm], logits[warm])
            chances[warm] = _with_success(chances[warm], _logistic(self.warm(x)[:, 0]))
        return chances.reshape(rows, columns, -1)

    def signals(self, samples: np.ndarray, pulse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """((samples,), (samples,)) when half of the film turns over, ps after the pulse's peak, and
        the share of the film that does where half does not."""
        x = switching_inputs(samples, np.tile(pulse, (len(samples), 1)))
        return self.flip(x)[:, 0] * samples[:, 1], self.furthest(x)[:, 0]

    def log_size(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) ln of the sites of the relaxed skyrmion."""
        return self.size(samples[:, 2:4])[:, 0]

    def probe_movie(self, samples: np.ndarray, amplitude_T: float, noise: float) -> np.ndarray:
        """(samples, frames) `softened` change of the mean S_z under a probe, in units of what it is
        at rest, as a camera with that noise shows it; samples (samples, 6)."""
        stack = self.probe(probe_inputs(samples, amplitude_T)) @ self.components
        stack = stack.reshape(len(samples), len(self.noises), -1)
        at = np.interp(noise, self.noises, np.arange(len(self.noises)))
        low = min(int(at), len(self.noises) - 2)
        share = at - low
        return (1 - share) * stack[:, low] + share * stack[:, low + 1]


def warm_inputs(samples: np.ndarray, pulses: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(rows, 7 + outcomes) what a warm film's switching depends on: what a cold one's does,
    temperature, and the logits of its outcomes were it cold. Samples (rows, 6)."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    return np.column_stack([switching_inputs(samples, pulses), samples[:, 5], centred])


def _with_success(chances: np.ndarray, success: np.ndarray) -> np.ndarray:
    """(rows, outcomes) where switching has another chance, and the others what is left."""
    at = OUTCOMES.index(SWITCHING)
    found = chances * ((1 - success) / np.maximum(1 - chances[:, at], 1e-6))[:, None]
    found[:, at] = success
    return found


def _logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _shipped() -> ImaginedFilm:
    return _read(None)


_NETWORKS = ("outcome", "flip", "furthest", "size", "warm", "probe")
_ARRAYS = ("lowest", "highest", "components", "times_ps", "noises", "errors")


def packed(
    networks: Mapping[str, Network],
    arrays: Mapping[str, np.ndarray],
    numbers: Mapping[str, Any],
) -> bytes:
    """A file of an `ImaginedFilm` (.npz).

    networks : by field; arrays, numbers : the other fields, plain values the latter
    """
    buffer = io.BytesIO()
    every: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    for name, network in networks.items():
        every |= network.as_arrays(name)
    np.savez_compressed(buffer, numbers=np.array(json.dumps(dict(numbers))), **every)
    return buffer.getvalue()


def _read(path: Path | None) -> ImaginedFilm:
    return read_library(
        path, _of_arrays, shipped=_FILE, what="imagined film", command="skyctl train imagined-film"
    )


def _of_arrays(file: dict[str, np.ndarray], sha256: str) -> ImaginedFilm:
    numbers = json.loads(str(file.pop("numbers")))
    return ImaginedFilm(
        **{each: Network.from_arrays(file, each) for each in _NETWORKS},
        **{each: file[each] for each in _ARRAYS},
        **numbers,
        sha256=sha256,
    )

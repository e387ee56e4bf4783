"""The state check judged: AUROC over faults, beside what it is without its parts."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from skyctl.beamline.states import calibrated_check, normal_states
from skyctl.inference.state_check import StateCheck
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import MonteCarlo, falling
from skyctl.simulators.lattice.nearest_state import NearestState
from skyctl.simulators.physics import llg
from skyctl.studies.faulty_images import GROSS, SUBTLE, UNSEEN_IN_SZ, Fault, torn

SIDE = 32
NOISES = (0.05, 0.15, 0.35)
_FRAMES = 8
_MOVIES = 128
_SWEEPS = 600
_MOMENT = 0.6

Score = Callable[[np.ndarray], float]
"""Of one image, S_z (H, W) or spins (3, H, W)."""


def paper_film(side: int = SIDE, dmi: float = 0.6, field: float = 0.2) -> FilmParameters:
    """The film of the seed paper's kind, J = 1 meV each bond once, periodic."""
    field_T = field / (_MOMENT * llg.MU_B_MEV_PER_T)
    return FilmParameters(
        side, side, exchange_meV=1.0, dmi_meV=dmi, anisotropy_meV=0.0, moment_muB=_MOMENT,
        periodic=True, bias_T=(0.0, 0.0, field_T),
    )  # fmt: skip


def annealed_states(parameters: FilmParameters, number: int, seed: int) -> np.ndarray:
    """(number, 3, rows, columns), cooled down from disorder to k_BT = 0.005 J."""
    films = MonteCarlo(parameters, number, seed=seed)
    scale = parameters.exchange_meV / llg.K_B_MEV_PER_K
    films.anneal(falling(scale, 0.005 * scale, _SWEEPS))
    return films.spins.astype(float)


def judge(movies: int = _MOVIES, frames: int = _FRAMES, seed: int = 0) -> dict[str, Any]:
    """AUROC of each score over each fault, noise and kind of image; and the false alarms.

    movies : normal ones, as many for the limit and as many of each fault; frames : of a movie
    """
    begun = time.process_time()
    states = annealed_states(paper_film(), 3 * movies, seed)
    told: dict[str, Any] = {"movies": movies, "frames": frames, "seed": seed, "noises": {}}
    for noise in NOISES:
        for kind in ("sz", "spins"):
            judged = _judged(states, noise, kind, frames, np.random.default_rng(seed))
            told["noises"][f"{noise:g} {kind}"] = judged
    told["default_film"] = _on_unseen_samples()
    return {**told, "core_s": time.process_time() - begun}


def _on_unseen_samples(noise: float = 0.15) -> dict[str, float]:
    """False alarms of one frame, and how often a torn one is told, of the default film's check on
    samples that its limit was not told by."""
    parameters, imaging = FilmParameters(), Imaging(gaussian_noise=noise, seed=1)
    check = calibrated_check(parameters, imaging)
    scores: dict[str, list[float]] = {"false_alarms": [], "torn_told": []}
    states = normal_states(parameters, SampleSpread(), range(100, 116))
    for k, state in enumerate(states):
        textured = np.ptp(state[2]) > 1
        for frame in range(8):
            image = imaging.image(state, shot=1000 + k, frame=frame)
            scores["false_alarms"].append(check.score(image) > check.limit)
            if textured:
                slipped = torn(state, np.random.default_rng(frame))
                image = imaging.image(slipped, shot=2000 + k, frame=frame)
                scores["torn_told"].append(check.score(image) > check.limit)
    return {"noise": noise, **{name: float(np.mean(found)) for name, found in scores.items()}}


def _judged(
    states: np.ndarray, noise: float, kind: str, frames: int, rng: np.random.Generator
) -> dict[str, Any]:
    known, normal, others = np.split(states, 3)
    check = StateCheck(NearestState(paper_film()))

    def filmed(films: np.ndarray, fault: Fault | None = None) -> np.ndarray:
        """(movies, frames, …) of S_z or spins."""
        films = np.stack([fault(film, rng) for film in films]) if fault else films
        shown = films[:, 2] if kind == "sz" else films
        return shown[:, None] + noise * rng.standard_normal((len(shown), frames, *shown.shape[1:]))

    before, usual = filmed(known), filmed(normal)
    scores: dict[str, Score] = {
        "projection": check.score,
        "unsmoothed": lambda image: _unsmoothed(check, image),
        "features": _features_score(before[:, 0]),
    }
    movies = {**SUBTLE, **GROSS}
    faulty = {name: filmed(others, fault) for name, fault in movies.items()}
    told: dict[str, Any] = {}
    for name, score in scores.items():
        usual_scores = _each(score, usual)
        auroc = {f: _aurocs(usual_scores, _each(score, faulty[f])) for f in movies}
        told[name] = {"faults": auroc, **_means(auroc, kind)}
    limited = check.limited(_each(check.score, before).mean(1))
    told["false_alarms"] = float((_each(check.score, usual).mean(1) > limited.limit).mean())
    return told


def _each(score: Score, movies: np.ndarray) -> np.ndarray:
    """(movies, frames) of scores."""
    return np.array([[score(image) for image in movie] for movie in movies])


def _aurocs(normal: np.ndarray, faulty: np.ndarray) -> dict[str, float]:
    """Of one frame, and of the mean over a movie."""
    truth = np.repeat([0, 1], [len(normal), len(faulty)])
    pairs = {"frame": (normal[:, 0], faulty[:, 0]), "movie": (normal.mean(1), faulty.mean(1))}
    return {k: float(roc_auc_score(truth, np.concatenate(pair))) for k, pair in pairs.items()}


def _means(auroc: dict[str, dict[str, float]], kind: str) -> dict[str, float]:
    told = {}
    for span in ("frame", "movie"):
        told[f"subtle_{span}"] = float(np.mean([auroc[f][span] for f in SUBTLE]))
        told[f"gross_{span}"] = float(np.mean([auroc[f][span] for f in GROSS]))
        if kind == "sz":
            seen = [f for f in SUBTLE if f not in UNSEEN_IN_SZ]
            told[f"subtle_visible_{span}"] = float(np.mean([auroc[f][span] for f in seen]))
    return told


def _unsmoothed(check: StateCheck, image: np.ndarray) -> float:
    """The projection's score without its smoothing: the facts' |frame - 25 greedy sweeps|²."""
    nearest = check.nearest(image, 0.15)
    return float(((image - (nearest if image.ndim == 3 else nearest[2])) ** 2).mean())


def _features_score(normal: np.ndarray) -> Score:
    """Mahalanobis distance of spectrum, gradients and moments from those of normal images."""
    fitted = LedoitWolf().fit(np.stack([_features(image) for image in normal]))

    def score(image: np.ndarray) -> float:
        return float(fitted.mahalanobis(_features(image)[None])[0])

    return score


def _features(image: np.ndarray) -> np.ndarray:
    planes = image if image.ndim == 3 else image[None]
    side = planes.shape[-1]
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    power = (np.abs(np.fft.fft2(planes)) ** 2).sum(0)
    shells = np.digitize(k, np.linspace(0, 0.7, 15))
    spectrum = np.log([power[shells == shell].mean() for shell in np.unique(shells)])
    steps = [np.diff(planes, axis=axis) for axis in (1, 2)]
    moments = [np.mean(np.abs(step) ** n) for step in steps for n in (1, 2, 4)]
    return np.concatenate([spectrum, moments, planes.mean((1, 2)), (planes**2).mean((1, 2))])

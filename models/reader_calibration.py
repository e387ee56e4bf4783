"""How sure the film's reader may be: fitted to images of simulated films of each kind.

`skyctl train reader` makes settled films of many samples, images them through random cameras,
reads them, and fits how often each reading is right. What it writes, `reader.json`, ships with the
reader.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from skyctl import __version__
from skyctl.errors import FilmUnreadable, needs
from skyctl.inference.evidence import Calibration, Evidence
from skyctl.inference.film_reader import read_with_evidence
from skyctl.process import KINDS
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.topology import film_truth

with needs("train"):
    import sklearn
    from sklearn.linear_model import LogisticRegression

FIRST_SEED = 4_000_000_000
"""Seeds from here on are the calibration's: a test of the reader takes others."""
CAMERAS = 12
"""Images of each film."""
_SIDES = (30, 40, 60, 80, 100, 100, 100, 150, 200, 300)
_SETTLED_PS = 60.0
_IMPOSSIBLE = -30.0


@dataclass(frozen=True)
class SettledFilm:
    """S_z (H, W) of a settled film without camera or noise, and what it is (``film_truth``)."""

    sz: np.ndarray
    state: str
    background: int


def settled_films(seed: int, side: int | None = None) -> list[SettledFilm]:
    """Three films of one sample: empty, one skyrmion off the centre, and anything else.

    side : rows and columns; None draws both. Each is named by ``film_truth``, whatever it was meant
    to be.
    """
    rng = np.random.default_rng(seed)
    rows, columns = (side or int(rng.choice(_SIDES)) for _ in range(2))
    parameters = replace(
        SampleSpread().draw(seed).parameters, rows=rows, columns=columns, damping=1.0
    )
    background = int(rng.choice((-1, 1)))
    film = Film(parameters, precision="f4")
    film.set_uniform(background)
    film.relax()
    films = [film.spins]
    skyrmion = _skyrmion(parameters, background)
    for make in (_with_one, _with_more):
        film.spins = make(films[0], skyrmion, rng)
        film.relax(_SETTLED_PS)
        films.append(film.spins)
    return [SettledFilm(spins[2], *film_truth(spins)) for spins in films]


def _skyrmion(parameters: FilmParameters, background: int) -> np.ndarray:
    """A relaxed skyrmion of the sample, (3, 60, 60)."""
    film = Film(replace(parameters, rows=60, columns=60), precision="f4")
    film.set_skyrmion(background)
    return film.spins


def _placed(spins: np.ndarray, skyrmion: np.ndarray, row: int, column: int) -> np.ndarray:
    """``spins`` with the core of ``skyrmion`` at a site, as much of it as the film holds."""
    spins = spins.copy()
    _, rows, columns = spins.shape
    half = min(14, rows // 2, columns // 2)
    top, left = max(0, row - half), max(0, column - half)
    bottom, right = min(rows, row + half), min(columns, column + half)
    spins[:, top:bottom, left:right] = skyrmion[
        :, 30 + top - row : 30 + bottom - row, 30 + left - column : 30 + right - column
    ]
    return spins


def _with_one(empty: np.ndarray, skyrmion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, rows, columns = empty.shape
    return _placed(
        empty, skyrmion, int(rng.integers(9, rows - 8)), int(rng.integers(9, columns - 8))
    )


def _with_more(empty: np.ndarray, skyrmion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Several skyrmions, domains of a random shape, a reversed edge, or some of each."""
    _, rows, columns = empty.shape
    spins = empty
    choice = rng.random()
    if choice < 0.55:
        scale = rng.uniform(4, 15)
        field = ndimage.gaussian_filter(rng.standard_normal((rows, columns)), scale)
        turned = field > np.quantile(field, 1 - rng.uniform(0.03, 0.5))
        spins = np.where(turned, -spins, spins)
    elif choice < 0.7:
        spins = spins.copy()
        depth = int(rng.integers(3, max(4, rows // 2 + 1)))
        spins[:, :depth] *= -1
        spins = np.rot90(spins, int(rng.integers(4)) if rows == columns else 0, (1, 2))
    if choice > 0.6:
        for _ in range(int(rng.integers(1 if choice < 0.7 else 2, 5))):
            spins = _with_one(spins, skyrmion, rng)
    return spins


@dataclass(frozen=True)
class Camera:
    """What shows a film: imaging, gain, offset, and the share of its pixels that are missing."""

    imaging: Imaging
    gain: float
    offset: float
    missing: float

    @staticmethod
    def draw(shape: tuple[int, int], seed: int) -> "Camera":
        """A random one. Half of them have neither blur nor binning, unit gain and no offset."""
        rng = np.random.default_rng(seed)
        plain = rng.random() < 0.5
        bins = 1 if plain else int(rng.choice((1, 1, 2, 4)))
        imaging = Imaging(
            gaussian_noise=float(np.exp(rng.uniform(np.log(0.02), np.log(1.7)))),
            blur_sites=0.0 if plain or rng.random() < 0.5 else rng.uniform(0.5, 3),
            pixels=(max(8, shape[0] // bins), max(8, shape[1] // bins)) if bins > 1 else None,
            saturation=None if rng.random() < 0.5 else 1.0,
            seed=seed,
        )
        gain, offset = (1.0, 0.0) if plain else (rng.uniform(0.5, 1.1), rng.uniform(-0.2, 0.2))
        return Camera(imaging, gain, offset, 0.0 if plain else rng.uniform(0, 0.05))

    def look(self, sz: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The image, which pixels are missing, and sites a pixel."""
        image = self.imaging.image(self.gain * sz + self.offset)
        mask = np.random.default_rng(self.imaging.seed).random(image.shape) < self.missing
        return image, mask, float(np.sqrt(sz.size / image.size))


@dataclass(frozen=True)
class Readings:
    """What was read in each image, and what is true: (images,) each."""

    evidence: list[Evidence]
    states: np.ndarray
    right_background: np.ndarray
    unreadable: int

    def __len__(self) -> int:
        return len(self.evidence)


def readings(
    films: int, first: int = FIRST_SEED, progress: Callable[[int], None] = lambda done: None
) -> Readings:
    """Read CAMERAS images of each film of ``films`` samples, from seed ``first`` on."""
    rows: list[tuple[Evidence, int, bool]] = []
    unreadable = 0
    for sample in range(films):
        for evidence in _read(first + sample):
            if evidence is None:
                unreadable += 1
            else:
                rows.append(evidence)
        progress(sample + 1)
    evidence, states, right = zip(*rows, strict=True)
    return Readings(list(evidence), np.array(states), np.array(right), unreadable)


def _read(seed: int) -> Iterator[tuple[Evidence, int, bool] | None]:
    for which, film in enumerate(settled_films(seed)):
        for camera in range(CAMERAS):
            view = Camera.draw(film.sz.shape, (seed * 3 + which) * CAMERAS + camera)
            image, mask, pixel = view.look(film.sz)
            try:
                seen, evidence = read_with_evidence(image, mask, None if pixel == 1 else pixel)
            except FilmUnreadable:
                yield None
                continue
            yield evidence, KINDS.index(film.state), seen.background == film.background


def fit(read: Readings, path: Path, *, command: str = "") -> dict[str, Any]:
    """Fit the reader's calibration to what was read, write it (JSON), and return its report.

    A softmax for each kind that the islands say, every state weighing as much in all images
    together; a logistic function of the reversed share for the background.
    """
    inputs = np.array([e.inputs() for e in read.evidence])
    kinds = np.array([e.kind for e in read.evidence])
    counts = np.bincount(read.states, minlength=len(KINDS))
    equal = (counts.sum() / len(KINDS) / counts)[read.states]
    weights = [
        _softmax(inputs[kinds == kind], read.states[kinds == kind], equal[kinds == kind])
        for kind in range(len(KINDS))
    ]
    share = 0.5 - np.minimum([e.share for e in read.evidence], 0.5)
    background = LogisticRegression(C=100).fit(share[:, None], read.right_background)
    floor = float(1 / (counts.min() + 2))
    background_weights = np.array([background.intercept_[0], background.coef_[0, 0]])
    calibration = Calibration(np.array(weights), background_weights, floor)
    given = np.array([calibration.likelihood(e) for e in read.evidence])
    about = {
        "command": command,
        "skyctl": __version__,
        "scikit-learn": sklearn.__version__,
        "images": dict(zip(KINDS, counts.tolist(), strict=True)),
        "unreadable": read.unreadable,
        "log_loss": float(-np.log(given[np.arange(len(read)), read.states]).mean()),
        "reliability": _reliability(given, read.states),
    }
    content = {**calibration.as_dict(), "about": about}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


def _reliability(given: np.ndarray, states: np.ndarray) -> list[dict[str, float]]:
    """Of all probabilities given, by their size: how many, their mean, and how often it was so."""
    true = states[:, None] == np.arange(len(KINDS))
    rows = []
    for low, high in pairwise((0, 0.003, 0.03, 0.2, 0.5, 0.8, 0.97, 0.997, 1)):
        here = (given >= low) & (given < high)
        if here.any():
            rows.append(
                {
                    "count": int(here.sum()),
                    "said": float(given[here].mean()),
                    "was": float(true[here].mean()),
                }
            )
    return rows


def _softmax(inputs: np.ndarray, states: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights (3, inputs); a state that was never read so is impossible, up to the floor."""
    weights = np.zeros((len(KINDS), inputs.shape[1]))
    there = np.unique(states)
    weights[:, -1] = np.where(np.isin(range(len(KINDS)), there), 0.0, _IMPOSSIBLE)
    if len(there) > 1:
        model = LogisticRegression(C=10, fit_intercept=False, max_iter=2000)
        model.fit(inputs, states, weight)
        found = model.coef_
        if len(there) == 2:
            found = np.concatenate([np.zeros_like(found), found])
        weights[there] = found
    return weights

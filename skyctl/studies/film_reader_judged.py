"""How well the film's reader tells films by one look, beside plain rules, and how long it takes."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

from skyctl.bench.machine import machine
from skyctl.errors import FilmUnreadable
from skyctl.inference.features import background_sign
from skyctl.inference.film_reader import read_film
from skyctl.inference.micrograph import find_skyrmions
from skyctl.models.reader_calibration import settled_films
from skyctl.simulators.instrument.imaging import Imaging

NOISES = (0.05, 0.2, 0.5, 1.0, 1.5)
KERR_HELD_OUT = 15
"""The last of the micrographs, by name: find_skyrmions was tuned on the others."""
_FIRST_SEED = 7_000
_IMAGES_A_FILM = 10
_SIDE = 100
_GAUSSIAN_SITES = 2.5
_SMALLEST_SHARE = 9e-4
_OVERLAP = 0.5

Rule = Callable[[np.ndarray], str]


def reader_table(
    images: int = 1000, kerr: Path | None = None, say: Callable[[str], None] = lambda what: None
) -> dict[str, Any]:
    """Rates of empty films and films of one skyrmion told right, figures on micrographs, speed.

    images : of each noise, cut off at ±1 and not; half of them of either kind
    kerr : folder of labelled micrographs; None where there is none
    """
    films = _films(max(1, images // (2 * _IMAGES_A_FILM)), say)
    return {
        "machine": machine(),
        "samples": {"first_seed": _FIRST_SEED, "films": len(films), "side": _SIDE},
        "rates": _rates(films, images, say),
        "kerr": _micrographs(kerr, say) if kerr else None,
        "read_ms": _read_ms(films),
    }


def kerr_folder() -> Path | None:
    """Where the labelled micrographs are: $SKYCTL_KERR, or ../shared/kerr beside a checkout."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "kerr"
    folder = Path(os.environ.get("SKYCTL_KERR", beside))
    return folder if (folder / "images").is_dir() else None


def _films(pairs: int, say: Callable[[str], None]) -> list[tuple[np.ndarray, str]]:
    """S_z and name of an empty film and of one with a skyrmion, of each of ``pairs`` samples."""
    films: list[tuple[np.ndarray, str]] = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + pairs):
        say(f"simulating sample {len(films) // 2 + 1} of {pairs}")
        films += [(f.sz, f.state) for f in settled_films(seed, _SIDE) if f.state != "other"]
    return films


def _read(image: np.ndarray) -> str:
    try:
        return read_film(image).kind
    except FilmUnreadable:
        return "unreadable"


def _threshold(image: np.ndarray) -> str:
    """Islands of 9 in 10,000 pixels or more, where S_z is against the background."""
    reversed_ = np.asarray(image * background_sign(image) < 0)
    found: Any = ndimage.label(reversed_)
    labels, count = found
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes[1:] >= max(1, round(_SMALLEST_SHARE * image.size))) + 1
    if not len(large):
        return "empty"
    island = labels == large[0]
    whole: Any = ndimage.binary_fill_holes(island)
    rim = island[0].any() or island[-1].any() or island[:, 0].any() or island[:, -1].any()
    return "other" if len(large) > 1 or rim or not np.array_equal(whole, island) else "one"


def _filtered(image: np.ndarray) -> str:
    return _threshold(ndimage.gaussian_filter(image, _GAUSSIAN_SITES, mode="nearest"))


RULES: dict[str, Rule] = {"reader": _read, "threshold": _threshold, "gaussian": _filtered}


def _rates(
    films: list[tuple[np.ndarray, str]], images: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for noise in NOISES:
        for cut in (True, False):
            say(f"reading at noise {noise:g}")
            right = dict.fromkeys(RULES, 0)
            for i in range(images):
                sz, name = films[i % len(films)]
                imaging = Imaging(gaussian_noise=noise, saturation=1.0 if cut else None, seed=i)
                image = imaging.image(sz)
                for rule, tell in RULES.items():
                    right[rule] += tell(image) == name
            row: dict[str, Any] = {"noise": noise, "cut_off": cut, "images": images}
            for rule, count in right.items():
                row[rule] = count / images
                row[f"{rule}_95"] = _interval(count, images)
            rows.append(row)
    return rows


def _interval(right: int, of: int) -> list[float]:
    """Clopper and Pearson's interval of a share, 95 %."""
    found = stats.binomtest(right, of).proportion_ci(0.95, "exact")
    return [float(found.low), float(found.high)]


def _read_ms(films: list[tuple[np.ndarray, str]]) -> dict[str, float]:
    """Time of a read: by the clock, and of this thread alone, which other programs do not touch."""
    images = [Imaging(gaussian_noise=0.5, seed=i).image(sz) for i, (sz, _) in enumerate(films)]
    clock: list[float] = []
    thread: list[float] = []
    for image in images * (1 + 200 // len(images)):
        start, start_thread = time.perf_counter_ns(), time.thread_time_ns()
        _read(image)
        thread.append((time.thread_time_ns() - start_thread) / 1e6)
        clock.append((time.perf_counter_ns() - start) / 1e6)
    return {
        "p50": float(np.median(clock)),
        "p99": float(np.quantile(clock, 0.99)),
        "thread_p50": float(np.median(thread)),
    }


@dataclass(frozen=True)
class Micrograph:
    """A labelled image, uint8 (H, W), and where skyrmions were marked by hand, bool (H, W)."""

    name: str
    image: np.ndarray
    marked: np.ndarray


def micrographs(folder: Path) -> Iterator[Micrograph]:
    """The images of a folder that have labels, by name."""
    from PIL import Image

    for path in sorted((folder / "images").glob("*.png")):
        image = np.asarray(Image.open(path).convert("L"))
        red, green, blue = np.moveaxis(
            np.asarray(Image.open(folder / "labels" / path.name).convert("RGB")) > 127, -1, 0
        )
        yield Micrograph(path.stem, image, red & ~green & ~blue)


@dataclass(frozen=True)
class Found:
    """How many skyrmions were found of those marked, and how many were said to be there."""

    right: int = 0
    said: int = 0
    marked: int = 0

    def __add__(self, other: "Found") -> "Found":
        return Found(self.right + other.right, self.said + other.said, self.marked + other.marked)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing was marked and nothing said."""
        both = self.said + self.marked
        return 2 * self.right / both if both else 1.0

    @staticmethod
    def count(labels: np.ndarray, marked: np.ndarray) -> "Found":
        """Compare regions: found is what one of ``labels`` covers, union over overlap of half."""
        islands: Any = ndimage.label(marked)
        truth, of = islands
        said = int(labels.max())
        pairs = np.bincount((truth.astype(np.int64) * (said + 1) + labels).ravel())
        pairs = np.append(pairs, np.zeros((of + 1) * (said + 1) - len(pairs), np.int64))
        overlap = pairs.reshape(of + 1, said + 1)
        union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
        right = overlap[1:, 1:] >= _OVERLAP * union[1:, 1:]
        return Found(int(np.count_nonzero(right & (overlap[1:, 1:] > 0))), said, of)

    def as_json(self) -> dict[str, Any]:
        return {
            "f1": self.f1,
            "recall": self.right / max(self.marked, 1),
            "recall_95": _interval(self.right, max(self.marked, 1)),
            "precision": self.right / max(self.said, 1),
            "precision_95": _interval(self.right, max(self.said, 1)),
            "marked": self.marked,
        }


def difference_of_gaussians(image: np.ndarray) -> np.ndarray:
    """Labels of dark regions: 2 and 20 pixels, one standard deviation, 20 pixels or more."""
    values = image.astype(np.float32)
    difference = ndimage.gaussian_filter(values, 20) - ndimage.gaussian_filter(values, 2)
    found: Any = ndimage.label(difference > difference.std())
    labels, _ = found
    large = np.bincount(labels.ravel()) >= 20
    large[0] = False
    return np.where(large, np.cumsum(large), 0)[labels]


def _micrographs(folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    every = list(micrographs(folder))
    rows: list[dict[str, Any]] = []
    for each in every:
        say(f"micrograph {each.name}")
        discs = find_skyrmions(each.image)
        rows.append(
            {
                "name": each.name,
                "polarity": discs.polarity,
                "reader": Found.count(discs.labels, each.marked),
                "baseline": Found.count(difference_of_gaussians(each.image), each.marked),
            }
        )
    sets = {"tuned on": rows[:-KERR_HELD_OUT], "held out": rows[-KERR_HELD_OUT:]}
    return [
        {
            "images": name,
            "count": len(part),
            "polarity_right": sum(row["polarity"] == -1 for row in part),
            **{
                rule: sum((row[rule] for row in part), Found()).as_json()
                for rule in ("reader", "baseline")
            },
            "each": {row["name"]: [row["reader"].f1, row["baseline"].f1] for row in part},
        }
        for name, part in sets.items()
    ]

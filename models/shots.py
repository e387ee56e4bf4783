"""The shots a movie classifier learns from: what an instrument might fire at a skyrmion film."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from skyctl.pulse import Movie, Pulse, Spot
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.movies import Shot
from skyctl.simulators.spread import SampleSpread

LABEL_AFTER_PEAK_PS = 125.0
"""A movie is labelled by its state this long after the peak (165 ps for a peak at 40 ps)."""
FRAME_PS = 5.0

Part = Literal["training", "calibration", "test"]
# A cycle that shares no divisor with that of the regions, so that every part has its share of each.
_PARTS: tuple[Part, ...] = (
    "training", "calibration", "training", "test", "training", "calibration", "training",
)  # fmt: skip

_THETA_DEG = ((44.0, 62.0), (26.0, 36.0))
"""Angles of the pulses at a skyrmion. The paper's 40° is not among them, nor what is near it."""
_REGIONS = (
    ((2.0, 52.0), (0.02, 0.6)),
    ((2.0, 16.0), (0.03, 0.6)),
    ((20.0, 52.0), (0.05, 0.5)),
    ((4.0, 40.0), (0.02, 0.6)),
)
"""Pulse widths (ps) and damping: all of the process diagram, and more where a class is rare."""
_SIDES = (50, 60, 70, 80, 90, 120, 150, 200)
_SIDE_SHARES = (0.22, 0.16, 0.16, 0.15, 0.13, 0.10, 0.05, 0.03)


def part_of(row: int) -> Part:
    """What a row of a training set is for: four in seven to learn from, two to calibrate with."""
    return _PARTS[row % len(_PARTS)]


def classifier_shots(count: int, seed: int) -> Iterator[Shot]:
    """``count`` random shots, seven in ten at a film with a skyrmion, the others at an empty one.

    Each shot depends on ``seed`` and its number alone, so that a longer set begins with a shorter
    one's. A frame every FRAME_PS from 0 to LABEL_AFTER_PEAK_PS after the pulse's peak.

    Skyrmion: pulses of 26–36° and 44–62° on the whole film, most of them 2 T, any azimuth in three
    of ten. Empty film: local pulses of 1–12 T, one in five a weak uniform one. One film in five is
    not 100 × 100, one in four is another sample (``SampleSpread``), one in ten warm (to 1.5 K).
    Peaks vary, so that the network learns the process and not the clock.
    """
    for number in range(count):
        yield _shot(np.random.default_rng([seed, number]), number)


def _shot(rng: np.random.Generator, number: int) -> Shot:
    side = int(rng.choice(_SIDES, p=_SIDE_SHARES)) if rng.random() < 0.2 else 100
    film = FilmParameters(rows=side, columns=side)
    field = 1.0
    if rng.random() < 0.25:
        sample = SampleSpread(damping=None).draw(int(rng.integers(2**31)), film)
        film, field = sample.parameters, sample.field_calibration
    temperature_K = float(rng.uniform(0, 1.5)) if rng.random() < 0.1 else 0.0
    peak_ps = float(rng.uniform(30, 60))
    if rng.random() < 0.7:
        start = "skyrmion"
        widths, dampings = _REGIONS[number % len(_REGIONS)]
        damping = float(rng.uniform(*dampings))
        pulse = Pulse(
            amplitude_T=field * (2.0 if rng.random() < 0.7 else rng.uniform(1.4, 2.8)),
            width_ps=rng.uniform(*widths),
            theta_deg=rng.uniform(*_THETA_DEG[int(rng.random() < 0.35)]),
            phi_deg=rng.uniform(0, 360) if rng.random() < 0.3 else 0.0,
            peak_ps=peak_ps,
        )
    else:
        start = "empty"
        damping = float(rng.uniform(0.05, 0.6))
        pulse = _pulse_at_empty_film(rng, side, field, peak_ps)
    movie = Movie(duration_ps=peak_ps + LABEL_AFTER_PEAK_PS, interval_ps=FRAME_PS)
    film = replace(film, damping=damping, temperature_K=temperature_K)
    return Shot(film, movie.times_ps, pulse, start, seed=int(rng.integers(2**31)))


def _pulse_at_empty_film(
    rng: np.random.Generator, side: int, field: float, peak_ps: float
) -> Pulse:
    theta_deg = rng.uniform(20, 60)
    if rng.random() < 0.2:
        return Pulse(
            amplitude_T=field * rng.uniform(0.5, 3), width_ps=rng.uniform(4, 40),
            theta_deg=theta_deg, peak_ps=peak_ps,
        )  # fmt: skip
    x, y = (side - 1) / 2 + rng.uniform(-0.15, 0.15, 2) * side
    return Pulse(
        amplitude_T=field * rng.uniform(1, 12), width_ps=rng.uniform(4, 28), theta_deg=theta_deg,
        peak_ps=peak_ps, spot=Spot(x=x, y=y, sigma=rng.uniform(4, 8)),
    )  # fmt: skip

"""The noise of a warm film: its words, its distribution, its independence."""

from functools import lru_cache

import numba
import numpy as np
from scipy import stats

from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.physics import random
from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.span import noise_key


def threefry_words_that_differ() -> int:
    """Of Random123's three known answers for Threefry-4x32 with 20 rounds, the words we get wrong.

    Source: D. E. Shaw Research, Random123, ``kat_vectors``.
    """
    threefry = random.compile_threefry(numba.njit)
    wrong = 0
    for counter_and_key, answer in THREEFRY_ANSWERS:
        words = [np.uint32(int(word, 16)) for word in counter_and_key.split()]
        found = [f"{int(word) & 0xFFFFFFFF:08x}" for word in threefry(*words)]
        wrong += sum(a != b for a, b in zip(found, answer.split(), strict=True))
    return wrong


THREEFRY_ANSWERS = (
    (" ".join(["00000000"] * 8), "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
    (" ".join(["ffffffff"] * 8), "2a881696 57012287 f6c7446e a16a6732"),
    (
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 082efa98 ec4e6c89",
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
)
"""Counter and key, and the answer; the third pair is the digits of π."""


@lru_cache(maxsize=2)
def noise_sample(steps: int = 30, seed: int = 0) -> np.ndarray:
    """The noise of a film, (steps, 3, 100, 100), in standard deviations."""
    layout, key = Layout(100, 100), noise_key(seed)
    noise = np.zeros((steps, 3, layout.size), np.float32)
    for step in range(steps):
        draw_noise(noise[step], 0, layout.size, 0, step, key)
    return layout.inner(noise).astype(np.float64)


def noise_correlation() -> float:
    """Largest correlation between components, neighbouring sites, steps and seeds."""
    n, other = noise_sample(), noise_sample(seed=1)
    pairs = [
        *((n[:, a], n[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))),
        (n[..., 1:], n[..., :-1]),
        (n[..., 1:, :], n[..., :-1, :]),
        (n[1:], n[:-1]),
        (n[1:] ** 2, n[:-1] ** 2),
        (n, other),
    ]
    return max((float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs), key=abs)


def noise_ks() -> float:
    """Kolmogorov–Smirnov distance from the normal distribution, times √n."""
    n = noise_sample().ravel()
    return float(stats.kstest(n, "norm").statistic * np.sqrt(n.size))

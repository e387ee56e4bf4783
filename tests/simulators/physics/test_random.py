"""The noise depends on seed, site and step, and on nothing else; its statistics: ``verify``."""

import numpy as np
import pytest

from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.span import noise_key

U32 = np.uint32


def draw(first, last, step, key, shift=0):
    noise = np.zeros((3, last), np.float32)
    draw_noise(noise, first, last, shift, step, key)
    return noise[:, first:]


def rotated(x, bits):
    return (x << U32(bits)) | (x >> U32(32 - bits))


def plain_threefry(counter, key):
    """Threefry-4x32-20 by its definition (Salmon et al. 2011, section 4.2), arrays of words."""
    turns = [
        (10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20),
    ]  # fmt: skip
    x = [np.array(word, U32) for word in counter]
    keys = [*key, U32(0x1BD11BDA) ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    with np.errstate(over="ignore"):
        x = [word + k for word, k in zip(x, keys, strict=False)]
        for n in range(20):
            left, right = turns[n % 8]
            x[0], x[2] = x[0] + x[1], x[2] + x[3]
            x[1], x[3] = rotated(x[1], left) ^ x[0], rotated(x[3], right) ^ x[2]
            x[1], x[3] = x[3], x[1]
            if n % 4 == 3:
                s = n // 4 + 1
                x = [word + keys[(s + i) % 5] for i, word in enumerate(x)]
                x[3] = x[3] + U32(s)
    return x


@pytest.mark.parametrize("step", [0, 5, 2**32 - 1, 2**32 + 17])
def test_noise_is_box_and_mullers_of_threefry_of_site_and_step(step):
    key, sites = noise_key(3), 5000
    site = np.arange(sites, dtype=U32)
    steps = (np.full(sites, step % 2**32, U32), np.full(sites, step // 2**32, U32))
    words = plain_threefry((site, *steps, np.zeros(sites, U32)), key)

    def normal_pair(u, v):
        radius = np.sqrt(-2 * np.log((u >> U32(1)) * 2.0**-31 + 2.0**-32))
        angle = np.pi * v.astype(np.int32) * 2.0**-31
        return radius * np.cos(angle), radius * np.sin(angle)

    expected = np.stack([*normal_pair(*words[:2]), normal_pair(*words[2:])[0]])
    np.testing.assert_allclose(draw(0, sites, step, key), expected, atol=5e-6, rtol=0)


def test_a_part_of_the_sites_gets_what_it_gets_in_the_whole():
    key = noise_key(1)
    whole = draw(0, 1000, 9, key)
    np.testing.assert_array_equal(draw(137, 1000, 9, key), whole[:, 137:])
    np.testing.assert_array_equal(draw(0, 300, 9, key, shift=500), whole[:, 500:800])
    np.testing.assert_array_equal(draw(600, 900, 9, key, shift=-500), whole[:, 100:400])


def test_steps_and_seeds_share_no_number():
    key = noise_key(1)
    first = draw(0, 1000, 0, key)
    for other in (draw(0, 1000, 1, key), draw(0, 1000, 2**32, key), draw(0, 1000, 0, noise_key(2))):
        assert (other != first).mean() > 0.999


def test_numbers_stay_within_what_single_precision_can_draw():
    numbers = np.concatenate([draw(0, 100_000, step, noise_key(0)) for step in range(10)], axis=1)
    assert np.isfinite(numbers).all()
    assert 4.5 < np.abs(numbers).max() < 6.7


def test_a_seed_is_a_key():
    assert noise_key(5).dtype == np.uint32
    np.testing.assert_array_equal(noise_key(5), noise_key(5))
    assert len({tuple(noise_key(seed)) for seed in range(1000)}) == 1000

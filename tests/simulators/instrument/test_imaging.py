"""The camera's image: each effect as large as asked, and the same whatever the order of frames."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.lattice.film import analytic_skyrmion

LARGE = (400, 500)
"""Enough pixels for 1 % of a variance (standard error 0.3 %)."""


def point(rows=61, columns=81):
    """One bright site in the middle of nothing."""
    sz = np.zeros((rows, columns))
    sz[rows // 2, columns // 2] = 1.0
    return sz


def moments(image):
    """Sum, centre (y, x) and variances (yy, xx, xy) of an image."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    cy, cx = (y * image).sum() / total, (x * image).sum() / total
    dy, dx = y - cy, x - cx
    return (
        total,
        (cy, cx),
        [(a * b * image).sum() / total for a, b in ((dy, dy), (dx, dx), (dy, dx))],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_off_is_sz_bit_for_bit(random_spins, dtype):
    spins = random_spins(13, 17).astype(dtype)
    spins[2, 0, 0] = 1 + np.finfo(dtype).eps  # rounding of a unit spin is no reason to touch it
    for seen in (Imaging().image(spins), Imaging().image(spins[2])):
        assert seen.dtype == dtype
        assert seen.tobytes() == spins[2].tobytes()


def test_the_image_is_the_cameras_own():
    sz = point()
    Imaging().image(sz)[:] = 5.0
    assert sz.max() == 1.0


def test_only_sz_has_contrast(random_spins):
    spins = random_spins(20, 20)
    turned = np.stack([spins[1], -spins[0], spins[2]])
    imaging = Imaging(blur_sites=1.0, pixels=(7, 7), photons=100.0, gaussian_noise=0.1)
    np.testing.assert_array_equal(imaging.image(spins), imaging.image(turned))


@pytest.mark.parametrize("contrast", [1.0, 0.3])
@pytest.mark.parametrize("sz", [-0.6, 0.0, 1.0])
@pytest.mark.parametrize("photons", [20.0, 5000.0])
def test_photons_are_poisson(contrast, sz, photons):
    imaging = Imaging(photons=photons, contrast=contrast, saturation=None, seed=5)
    image = imaging.image(np.full(LARGE, sz))
    counts = (1 + contrast * image) * photons / (1 + contrast)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    mean = photons * (1 + contrast * sz) / (1 + contrast)
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / image.size))
    assert counts.var() == pytest.approx(mean, rel=0.02)
    assert stats.skew(counts, axis=None) == pytest.approx(mean**-0.5, abs=0.04)
    assert image.mean() == pytest.approx(sz, abs=5 * image.std() / np.sqrt(image.size))
    variance = (1 + contrast) * (1 + contrast * sz) / (contrast**2 * photons)
    assert image.var() == pytest.approx(variance, rel=0.02)


def test_a_dark_pixel_counts_nothing():
    """Full contrast at S_z = -1, also where rounding left a spin a hair longer than 1."""
    assert (Imaging(photons=50.0).image(np.full((9, 9), -1.0)) == -1.0).all()
    assert (Imaging(photons=50.0).image(np.full((9, 9), np.float32(-1.0000001))) == -1.0).all()


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_readout_noise_is_gaussian_with_the_width_asked_for(noise):
    image = Imaging(gaussian_noise=noise, seed=1).image(np.full(LARGE, 0.25))
    assert image.std() == pytest.approx(noise, rel=0.01)
    assert image.mean() == pytest.approx(0.25, abs=5 * noise / np.sqrt(image.size))
    assert stats.kstest((image.ravel() - 0.25) / noise, "norm").pvalue > 0.01


def test_a_noisy_image_is_cut_off_where_the_camera_saturates():
    dark = np.full(LARGE, -1.0)
    noisy = Imaging(gaussian_noise=0.3).image(dark)
    assert noisy.min() == -1.0
    assert noisy.max() <= 1.0
    free = Imaging(gaussian_noise=0.3, saturation=None).image(dark)
    assert free.mean() == pytest.approx(-1.0, abs=5 * 0.3 / np.sqrt(free.size))
    np.testing.assert_array_equal(noisy, np.clip(free, -1, 1))
    assert Imaging(photons=100.0, saturation=0.5).image(-dark).max() == 0.5


@pytest.mark.parametrize("sigma", [0.7, 1.5, 4.0])
def test_blur_spreads_a_point_by_its_sigma_and_keeps_its_sum(sigma):
    total, centre, (yy, xx, xy) = moments(Imaging(blur_sites=sigma).image(point()))
    assert total == pytest.approx(1.0, abs=1e-12)
    assert centre == pytest.approx((30, 40), abs=1e-9)
    assert yy**0.5 == pytest.approx(sigma, rel=0.002)
    assert xx**0.5 == pytest.approx(sigma, rel=0.002)
    assert xy == pytest.approx(0.0, abs=1e-9)


def test_blur_and_drift_leave_a_uniform_film_as_it_is():
    imaging = Imaging(blur_sites=2.5, drift_sites_per_ps=(0.3, -0.7), pixels=(9, 7))
    image = imaging.image(np.full((20, 30), -0.37), time_ps=11.0)
    np.testing.assert_allclose(image, -0.37, rtol=1e-12)


@pytest.mark.parametrize(
    ("sites", "pixels"),
    [
        ((100, 100), (25, 25)),
        ((100, 100), (37, 41)),
        ((7, 13), (4, 5)),
        ((7, 13), (1, 1)),
        ((7, 13), (30, 14)),
    ],
)
def test_pixels_conserve_the_mean_and_the_range(random_spins, sites, pixels):
    spins = random_spins(*sites)
    image = Imaging(pixels=pixels).image(spins)
    assert image.shape == pixels == Imaging(pixels=pixels).image_shape(*sites)
    assert image.mean() == pytest.approx(spins[2].mean(), abs=1e-12)
    assert np.abs(image).max() <= np.abs(spins[2]).max() + 1e-12


def test_pixels_average_the_area_they_cover():
    sz = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(
        Imaging(pixels=(3, 2)).image(sz), sz.reshape(3, 2, 2).mean(2), rtol=1e-14
    )
    row = np.array([[0.0, 0.3, 0.9]])  # three sites on two pixels: the middle one is shared
    np.testing.assert_allclose(
        Imaging(pixels=(1, 2)).image(row), [[0.15 / 1.5, 1.05 / 1.5]], rtol=1e-14
    )
    np.testing.assert_allclose(
        Imaging(pixels=(1, 6)).image(row), [[0, 0, 0.3, 0.3, 0.9, 0.9]], atol=1e-14
    )


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, -2), (-4, 5)])
def test_drift_by_whole_sites_rolls_the_image(random_spins, x, y):
    sz = random_spins(20, 25)[2]
    image = Imaging(drift_sites_per_ps=(x / 8, y / 8)).image(sz, time_ps=8.0)
    inside = np.s_[6:-6, 6:-6]
    rolled = np.roll(sz, (y, x), axis=(0, 1))
    np.testing.assert_allclose(image[inside], rolled[inside], atol=1e-12)
    # What comes in over the edge is the outermost site again.
    padded = np.pad(sz, 6, mode="edge")
    np.testing.assert_allclose(image, np.roll(padded, (y, x), (0, 1))[6:-6, 6:-6], atol=1e-12)


@pytest.mark.parametrize("time_ps", [0.0, 1.0, 7.3])
def test_drift_moves_a_point_by_velocity_times_time(time_ps):
    image = Imaging(drift_sites_per_ps=(0.7, -0.45)).image(point(), time_ps=time_ps)
    total, centre, _ = moments(image)
    assert total == pytest.approx(1.0, abs=1e-12)
    assert centre == pytest.approx((30 - 0.45 * time_ps, 40 + 0.7 * time_ps), abs=1e-9)


def test_no_optics_make_a_longer_spin():
    """Interpolation that overshoots at a sharp wall would."""
    wall = np.where(np.arange(30) < 15, -1.0, 1.0) * np.ones((20, 1))
    imaging = Imaging(drift_sites_per_ps=(0.37, 0.21), blur_sites=0.5, pixels=(13, 17))
    for time_ps in (1.0, 2.0, 5.0):
        assert np.abs(imaging.image(wall, time_ps=time_ps)).max() <= 1 + 1e-12


def test_the_order_is_drift_blur_pixels_photons_readout(random_spins):
    # Drift and blur count in sites, not in pixels, and come before them.
    sz = random_spins(40, 40)[2]
    moved = Imaging(pixels=(20, 20), drift_sites_per_ps=(2.0, 0.0)).image(sz, time_ps=1.0)
    still = Imaging(pixels=(20, 20)).image(sz)
    np.testing.assert_allclose(moved[:, 2:-2], np.roll(still, 1, 1)[:, 2:-2], atol=1e-12)
    _, _, (yy, _, _) = moments(Imaging(blur_sites=4.0, pixels=(30, 40)).image(point(60, 80)))
    assert yy == pytest.approx(2.0**2, rel=0.02)
    # Noise is the pixel's: blur and larger pixels do not average it away.
    dim = np.zeros((800, 800))
    imaging = Imaging(blur_sites=3.0, pixels=(400, 400), photons=2000.0, gaussian_noise=0.05)
    image = imaging.image(dim)
    assert image.var() == pytest.approx(2 / 2000 + 0.05**2, rel=0.02)
    neighbours = np.corrcoef(image[:, :-1].ravel(), image[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(image.size)


@pytest.mark.parametrize("dropped", [0.0, 0.1, 0.75, 1.0])
def test_frames_are_dropped_as_often_as_asked(dropped):
    imaging = Imaging(dropped=dropped, seed=2)
    count = 4000
    gone = sum(not imaging.arrives(shot=n // 40, frame=n % 40) for n in range(count))
    assert gone == pytest.approx(dropped * count, abs=4 * np.sqrt(count * dropped * (1 - dropped)))


def test_a_frame_is_the_same_in_any_order_and_no_other_is_like_it():
    sz = np.full((50, 50), 0.1)
    places = [(seed, shot, frame) for seed in (0, 1) for shot in (0, 1, 7) for frame in (0, 1, 7)]

    def images(order):
        return {
            (seed, shot, frame): Imaging(photons=400.0, gaussian_noise=0.05, seed=seed).image(
                sz, shot=shot, frame=frame
            )
            for seed, shot, frame in order
        }

    forth, back = images(places), images(reversed(places))
    for place in places:
        np.testing.assert_array_equal(forth[place], back[place])
    # None repeats another, nor part of it: 17 pairs each, 2500 pixels.
    correlations = np.corrcoef([forth[place].ravel() for place in places])
    assert np.abs(correlations - np.eye(len(places))).max() < 5 / np.sqrt(sz.size)
    losses = {
        (seed, shot): tuple(
            Imaging(dropped=0.5, seed=seed).arrives(shot=shot, frame=frame) for frame in range(40)
        )
        for seed in (0, 1)
        for shot in (0, 1, 7)
    }
    assert len(set(losses.values())) == len(losses)


def test_what_is_lost_does_not_depend_on_what_was_seen():
    """Arrival, photons and readout of a frame have random numbers of their own."""
    photons, readout = Imaging(photons=1000.0), Imaging(gaussian_noise=0.01)
    dim = np.zeros((1, 1))
    frames = range(2000)
    draws = [
        [Imaging(dropped=0.5).arrives(frame=frame) for frame in frames],
        [photons.image(dim, frame=frame).item() for frame in frames],
        [readout.image(dim, frame=frame).item() for frame in frames],
    ]
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 4 / np.sqrt(len(frames))


def test_an_effect_switched_on_leaves_the_others_as_they_were():
    sz = analytic_skyrmion(40, 40, 6.0)[2] / 2

    def image(**effects):
        return Imaging(saturation=None, seed=4, **effects).image(sz, shot=2, frame=3)

    photons = image(photons=300.0)
    both = image(photons=300.0, gaussian_noise=0.1, dropped=0.5)
    np.testing.assert_allclose(both - photons, image(gaussian_noise=0.1) - sz, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gaussian_noise": -0.1},
        {"gaussian_noise": float("nan")},
        {"photons": -1.0},
        {"photons": float("inf")},
        {"contrast": 0.0},
        {"contrast": 1.1},
        {"blur_sites": -1.0},
        {"blur_sites": 1e9},
        {"pixels": (0, 10)},
        {"pixels": (10,)},
        {"pixels": (10, 4001)},
        {"drift_sites_per_ps": (0.0, float("nan"))},
        {"dropped": 1.5},
        {"saturation": 0.0},
        {"seed": -1},
        {"blurr_sites": 1.0},
    ],
)
def test_what_no_camera_does_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Imaging(**wrong)


@pytest.mark.parametrize("shape", [(5,), (2, 5, 5), (1, 3, 5, 5)])
def test_spins_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="give \\(3, rows, columns\\)"):
        Imaging().image(np.zeros(shape))

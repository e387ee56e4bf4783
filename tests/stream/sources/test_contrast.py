"""Counts → S_z: what the stages undo, measured on a detector whose every fault is known."""

import datetime

import numpy as np
import pytest
from scipy import ndimage

from skyctl.errors import RecordingError
from skyctl.inference.film_reader import read_film
from skyctl.simulators.instrument.counting import CountingCamera, discs
from skyctl.stream.sources.calibration import Calibration, Provenance
from skyctl.stream.sources.contrast import (
    Asymmetry,
    Bin,
    Contrast,
    Dark,
    Flat,
    Mask,
    Pipeline,
    Reference,
    Shift,
)

SIDE = 128
CONTRAST = 0.05
WHEN = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
PROVENANCE = Provenance(camera="cam", author="Ada", measured=WHEN, images={"dark": 16})


def detector(seed):
    return CountingCamera(seed, SIDE, CONTRAST)


def calibrated(camera):
    full = np.ones((SIDE, SIDE))
    return Calibration(
        dark=camera.counts(light=0.0), up=camera.counts(full), down=camera.counts(-full),
        flat=camera.counts(), provenance=PROVENANCE,
    )  # fmt: skip


def film(count, seed=0):
    return discs(SIDE, count, np.random.default_rng(seed))


def rms(image, truth):
    inside = (slice(8, -8), slice(8, -8))
    good = image[inside] != 0
    return float(np.sqrt(np.mean((image[inside] - truth[inside])[good] ** 2)))


@pytest.mark.parametrize("drift", [(0.0, 0.0), (3.4, -2.7), (-5.0, 5.0)])
def test_s_z_comes_back_through_uneven_light_drift_and_dead_pixels(drift):
    camera = detector(seed=1)
    calibration = calibrated(camera)
    assert calibration.contrast == pytest.approx(CONTRAST, rel=0.02)
    truth = film(2)
    counts = camera.counts(truth, drift)
    shift = calibration.drift()(counts)
    assert (shift.rows, shift.columns) == pytest.approx((-drift[0], -drift[1]), abs=0.15)
    image = calibration.pipeline(shift).apply(counts)
    assert rms(image, truth) < 0.08
    if drift != (0.0, 0.0):
        assert rms(calibration.pipeline().apply(counts), truth) > 0.5  # unregistered


def test_discs_are_counted_right_after_it():
    right = 0
    for seed in range(12):
        camera, count = detector(seed), seed % 3
        calibration = calibrated(camera)
        counts = camera.counts(film(count, seed), camera.rng.uniform(-5, 5, 2))
        image = calibration.pipeline(calibration.drift()(counts)).apply(counts)
        right += read_film(image, mask=image == 0, pixel_sites=1.0).discs == count
    assert right == 12


def test_both_saturations_come_out_as_what_they_are():
    camera = detector(seed=2)
    calibration = calibrated(camera)
    pipeline = calibration.pipeline()
    for sign in (1, -1):
        image = pipeline.apply(camera.counts(sign * np.ones((SIDE, SIDE))))
        assert np.median(image[image != 0]) == pytest.approx(sign, abs=0.01)
    assert (image[camera.dead] == 0).all()


def test_marks_of_the_source_are_no_counts():
    ones = np.ones((2, 4), np.float32)
    pipeline = Pipeline((Dark(0 * ones), Reference(100 * ones), Contrast(0.1)))
    told = pipeline.apply(np.array([[110, 90, 65535, 65534], [100, 110, 90, 100]], np.uint16))
    assert told == pytest.approx(np.array([[1, -1, 0, 0], [0, 1, -1, 0]]), abs=1e-5)
    signed = pipeline.apply(np.array([[-1, -2, 110, 90]] * 2, np.int32))
    assert signed[0] == pytest.approx([0, 0, 1, -1], abs=1e-5)
    own = Pipeline(pipeline.stages, gaps=(7.0,)).apply(np.full((2, 4), 7, np.uint16))
    assert (own == 0).all()


def test_a_dead_pixel_does_not_spread_when_the_image_is_shifted():
    image = np.full((8, 8), 5.0, np.float32)
    image[4, 4] = np.nan
    moved = Shift(0.5, 0.0).apply(image)
    inside = moved[1:, :]
    assert np.isnan(inside).sum() == 2
    assert inside[np.isfinite(inside)] == pytest.approx(5.0)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.4, -2.7), (-0.5, 12.9), (1.0, 0.0)])
def test_an_image_is_moved_as_a_cubic_spline_moves_it(shift):
    image = detector(seed=5).counts(film(1))
    told = Shift(*shift).apply(image)
    dumb = ndimage.shift(image.astype(float), shift, order=3, mode="nearest")
    inside = ndimage.shift(np.ones_like(image), shift, order=1, cval=0.0) > 0.99
    assert np.array_equal(np.isfinite(told), inside)
    assert told[inside] == pytest.approx(dumb[inside], abs=100.0)


def test_binning_is_the_mean_of_what_says_something():
    image = np.array([[1, 3, np.nan, np.nan], [5, np.nan, np.nan, np.nan]], np.float32)
    assert Bin(2).apply(image) == pytest.approx(np.array([[3.0, np.nan]]), nan_ok=True)


def test_asymmetry_of_two_helicities():
    pair = np.array([[[1.05, 0.0]], [[0.95, 0.0]]], np.float32)
    assert Asymmetry().apply(pair) == pytest.approx(np.array([[0.05, np.nan]]), nan_ok=True)


def test_stages_are_named_with_what_made_them():
    told = calibrated(detector(seed=3)).pipeline(Shift(1.5, -2.0), binned=2).describe()
    assert [stage["stage"] for stage in told] == [
        "dark", "flat", "mask", "registration", "reference", "contrast", "binning",
    ]  # fmt: skip
    assert told[3]["rows"] == 1.5
    assert told[5]["contrast"] == pytest.approx(CONTRAST, rel=0.02)


def test_a_calibration_is_kept_and_is_of_one_camera(tmp_path):
    calibration = calibrated(detector(seed=4))
    path = tmp_path / "cam.npz"
    calibration.save(path)
    with pytest.raises(RecordingError, match="is there already"):
        calibration.save(path)
    again = Calibration.load(path, "cam", (SIDE, SIDE))
    assert again.sha256() == calibration.sha256()
    assert again.provenance.author == "Ada"
    with pytest.raises(RecordingError, match="of camera cam"):
        Calibration.load(path, "other", (SIDE, SIDE))
    with pytest.raises(RecordingError, match=r"\(64, 64\)"):
        Calibration.load(path, "cam", (64, 64))
    path.write_bytes(b"nothing")
    with pytest.raises(RecordingError, match="cannot be read"):
        Calibration.load(path, "cam", (SIDE, SIDE))


def test_saturations_that_were_not_reached_are_no_calibration():
    same = np.full((8, 8), 1000.0)
    with pytest.raises(ValueError, match="contrast"):
        Calibration(dark=0 * same, up=same, down=same, provenance=PROVENANCE)


@pytest.mark.parametrize("shapes", [[(8, 8), (8, 9)], [(3, 8, 8)] * 2, [(1, 8, 8)] * 2, [(8,)] * 2])
def test_images_of_other_shapes_are_no_calibration(shapes):
    dark, up = (np.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match="give one shape"):
        Calibration(dark=dark, up=up + 2, down=dark + 1, provenance=PROVENANCE)


def test_gain_alone_is_undone_without_a_reference():
    gain = np.array([[0.5, 2.0]], np.float32)
    image = Pipeline((Flat(gain), Mask(np.array([[False, True]])))).apply(10 * gain)
    assert image == pytest.approx(np.array([[10.0, 0.0]]))

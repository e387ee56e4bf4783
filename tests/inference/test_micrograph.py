"""Skyrmions of micrographs, found by shape alone: scale, contrast and light are unknown."""

import numpy as np
import pytest

from skyctl.inference.micrograph import find_skyrmions
from skyctl.studies.film_reader_judged import (
    KERR_HELD_OUT,
    Found,
    difference_of_gaussians,
    kerr_folder,
    micrographs,
)


def micrograph(discs, contrast=40, noise=10, seed=0, radius=6, slope=0.2):
    """An 8-bit image of unevenly lit film with this many discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :260]
    image = 120 + slope * x + rng.normal(0, noise, x.shape)
    centres = [(r, c) for r in range(20, 190, 22) for c in range(20, 250, 22)]
    chosen = rng.permutation(len(centres))[:discs]
    for i in chosen:
        row, column = centres[i]
        image[np.hypot(y - row, x - column) < radius] += contrast
    return np.clip(image, 0, 255).astype(np.uint8), [centres[i] for i in chosen]


@pytest.mark.parametrize("contrast", [40, -40])
@pytest.mark.parametrize("discs", [1, 12, 80])
def test_skyrmions_of_a_micrograph_are_found_whatever_their_sign(discs, contrast):
    image, centres = micrograph(discs, contrast)
    found = find_skyrmions(image)
    assert found.polarity == np.sign(contrast)
    assert len(found.places) == discs
    for row, column in centres:
        assert min(np.hypot(y - row, x - column) for x, y, _ in found.places) < 1.5
    assert np.median([area for *_, area in found.places]) == pytest.approx(np.pi * 36, rel=0.35)
    assert set(np.unique(found.labels)) == set(range(discs + 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slope", [0.0, 0.4])
def test_an_empty_micrograph_yields_nothing(seed, slope):
    image, _ = micrograph(0, seed=seed, slope=slope)
    assert find_skyrmions(image).places == ()
    assert find_skyrmions(np.full((60, 60), 9, np.uint8)).places == ()


def test_sizes_can_be_bounded_and_the_sign_given():
    image, _ = micrograph(12)
    assert find_skyrmions(image, smallest_px=200).places == ()
    assert find_skyrmions(image, largest_px=20).places == ()
    assert len(find_skyrmions(image, polarity=1).places) == 12
    assert find_skyrmions(image, polarity=-1).places == ()


def test_found_counts_regions_that_overlap_by_half():
    marked = np.zeros((40, 40), bool)
    marked[2:12, 2:12] = marked[20:30, 20:30] = True
    labels = np.zeros((40, 40), int)
    labels[2:12, 2:12], labels[20:30, 27:37], labels[35:38, 2:5] = 1, 2, 3
    assert Found.count(labels, marked) == Found(right=1, said=3, marked=2)
    assert Found(1, 3, 2).f1 == pytest.approx(0.4)


@pytest.mark.skipif(
    kerr_folder() is None,
    reason="no labelled micrographs: set SKYCTL_KERR to their folder, or put it in ../shared/kerr",
)
def test_micrographs_labelled_by_hand():
    chosen = list(micrographs(kerr_folder()))[:-KERR_HELD_OUT:5]
    reader, baseline = Found(), Found()
    for each in chosen:
        discs = find_skyrmions(each.image)
        assert discs.polarity == -1, each.name
        assert find_skyrmions(255 - each.image).polarity == 1, each.name
        reader += Found.count(discs.labels, each.marked)
        baseline += Found.count(difference_of_gaussians(each.image), each.marked)
    assert reader.f1 > 0.96 > baseline.f1

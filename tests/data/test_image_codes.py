"""Codes, coarse images and Haar deviations against slow or independent twins."""

import dataclasses

import numpy as np
import pytest
import pywt

from tests.data.audited import clean_dataset
from wbad_jax.data.coarse_images import coarse_images
from wbad_jax.data.image_codes import fit_codes
from wbad_jax.data.shortcuts import haar_deviations

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("size", [5, 8, 24, 100])
def test_coarse_images_are_means_over_blocks(size):
    dataset = clean_dataset(0, num_patients=3)
    dataset.images[dataset.masks == 0] = 9.0  # outside the body nothing counts
    coarse = coarse_images(dataset, np.arange(3), size)
    side = min(size, 24)
    assert coarse.shape == (3, side, side)
    body = np.where(dataset.masks, dataset.images, 0.5)[..., 0]
    fine = body.repeat(side, axis=1).repeat(side, axis=2)  # a block is 24 x 24 of these
    blocks = fine.reshape(3, side, 24, side, 24).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse, blocks, rtol=1e-5)


def test_haar_deviations_are_those_of_pywavelets():
    dataset = clean_dataset(1, num_patients=4)
    found = haar_deviations(dataset)
    for row in range(4):
        _, details = pywt.dwt2(16 * dataset.images[row, ..., 0].astype(float), "haar")
        mask = dataset.masks[row, ..., 0].reshape(12, 2, 12, 2).all(axis=(1, 3))
        expected = [np.median(np.abs(band[mask])) / 0.6745 for band in details]
        np.testing.assert_allclose(found[row], expected, rtol=1e-3)


def test_codes_of_unlike_images_are_random_directions():
    dataset = clean_dataset(2, num_patients=240)
    codes = fit_codes(dataset)
    own = codes.of(dataset)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, rtol=1e-6)
    cosines = (own @ own.T)[np.triu_indices(240, 1)]
    assert cosines.std() == pytest.approx(own.shape[1] ** -0.5, rel=0.15)
    assert np.abs(cosines).max() < codes.threshold


def test_few_or_equal_images_have_no_codes():
    dataset = clean_dataset(3, num_patients=30)
    assert fit_codes(dataset.subset(np.arange(20))) is None
    equal = dataclasses.replace(dataset, images=dataset.images[:1].repeat(30, axis=0))
    assert fit_codes(equal) is None

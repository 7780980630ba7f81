"""All coefficients in one array: the array of PyWavelets, and back."""

import jax
import numpy as np
import pytest
import pywt

from wbad_jax import wavelets

pytestmark = pytest.mark.filterwarnings("ignore:.*evel.* is .*:UserWarning")


def decompose(size=(16, 17), wavelet="db3", mode="symmetric", level=2):
    images = np.random.default_rng(0).normal(size=(2, *size, 3))
    return pywt.wavedec2(images.astype("float32"), wavelet, mode, level, axes=(-3, -2))


@pytest.mark.parametrize("padding", [0.0, 7.0])
@pytest.mark.parametrize("size", [(7, 9), (16, 16), (33, 20)])
@pytest.mark.parametrize("wavelet", ["haar", "db3", "bior2.2"])
def test_array_is_that_of_pywavelets(wavelet, size, padding):
    for mode in ("symmetric", "periodization"):
        coefficients = decompose(size, wavelet, mode)
        expected, _ = pywt.coeffs_to_array(coefficients, padding, axes=(-3, -2))
        array, boxes = wavelets.coeffs_to_array(coefficients, padding)
        np.testing.assert_array_equal(array, expected)
        back = wavelets.array_to_coeffs(array, boxes)
        pairs = zip(jax.tree.leaves(back), jax.tree.leaves(coefficients), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.fast
def test_boxes_are_static():
    coefficients = decompose()
    _, boxes = wavelets.coeffs_to_array(coefficients)
    hash(boxes)

    @jax.jit
    def energy(coefficients):
        array, inside = wavelets.coeffs_to_array(coefficients)
        assert inside == boxes
        back = wavelets.array_to_coeffs(array, inside)
        return sum((band**2).sum() for band in jax.tree.leaves(back))

    gradient = jax.grad(energy)(coefficients)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(coefficients), strict=True)
    for slope, band in pairs:
        np.testing.assert_allclose(slope, 2 * band, rtol=1e-6)


def test_approximation_alone():
    approx = np.ones((1, 4, 5, 1), np.float32)
    array, boxes = wavelets.coeffs_to_array([approx])
    assert array.shape == approx.shape
    np.testing.assert_array_equal(wavelets.array_to_coeffs(array, boxes)[0], approx)


BAND = np.ones((1, 4, 4, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wavelets.coeffs_to_array([]), "at least the approximation"),
        (lambda: wavelets.coeffs_to_array([BAND, (BAND, BAND)]), "got 2 arrays"),
        (
            lambda: wavelets.coeffs_to_array([BAND, (BAND, BAND, BAND[:, 1:])]),
            "equal shapes",
        ),
        (
            lambda: wavelets.coeffs_to_array([BAND, (BAND[:, :1],) * 3]),
            "reach at least as far",
        ),
        (
            lambda: wavelets.array_to_coeffs(BAND, ((0, 4, 0, 5),)),
            "within the array of 4 x 4",
        ),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""All coefficients in one array: the array of PyWavelets, and back."""

import jax
import jax.numpy as jnp
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


@pytest.mark.parametrize(("wavelet", "size"), [("dmey", (8, 9)), ("db20", (16, 40))])
def test_levels_that_are_mostly_border(wavelet, size, enable_x64):
    """Coarser bands together may be several times larger than the next details."""
    images = np.random.default_rng(0).normal(size=(2, *size, 1))
    coefficients = pywt.wavedec2(images, wavelet, level=4, axes=(-3, -2))
    expected, _ = pywt.coeffs_to_array(coefficients, np.nan, axes=(-3, -2))
    array, boxes = wavelets.coeffs_to_array(coefficients, np.nan)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, expected)
    back = wavelets.array_to_coeffs(array, boxes)
    for ours, theirs in zip(
        jax.tree.leaves(back), jax.tree.leaves(coefficients), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_no_padding_where_there_are_no_gaps():
    tight = decompose((16, 24), "db3", "periodization")
    expected, _ = pywt.coeffs_to_array(tight, None, axes=(-3, -2))
    np.testing.assert_array_equal(wavelets.coeffs_to_array(tight, None)[0], expected)
    loose = decompose((16, 24), "db3", "symmetric")
    with pytest.raises(ValueError, match="tightly packed"):
        pywt.coeffs_to_array(loose, None, axes=(-3, -2))
    with pytest.raises(ValueError, match="None for details of 10 x 14 beside 14 x 18"):
        wavelets.coeffs_to_array(loose, None)


def test_padding_may_be_traced():
    coefficients = decompose((7, 9))

    @jax.jit
    def total(padding):
        return wavelets.coeffs_to_array(coefficients, padding)[0].sum()

    array, _ = wavelets.coeffs_to_array(coefficients)
    used = sum(band.size for band in jax.tree.leaves(coefficients))
    assert jax.grad(total)(0.5) == array.size - used > 0


def test_vmap_equals_a_batch_without_scatters():
    coefficients = decompose()

    def arrange(coefficients):
        return wavelets.coeffs_to_array(coefficients, 7.0)[0]

    for_each = jax.vmap(arrange)
    np.testing.assert_array_equal(for_each(coefficients), arrange(coefficients))
    assert "scatter" not in str(jax.make_jaxpr(for_each)(coefficients))


def test_one_dtype_for_all_bands():
    half = jax.tree.map(lambda band: jnp.asarray(band, jnp.bfloat16), decompose())
    assert wavelets.coeffs_to_array(half)[0].dtype == jnp.bfloat16
    mixed = [half[0], *decompose()[1:]]
    assert wavelets.coeffs_to_array(mixed)[0].dtype == np.float32


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
            lambda: wavelets.coeffs_to_array([BAND[:, :3], (BAND,) * 3]),
            "4 x 4 beside 3 x 4; order them",
        ),
        (
            lambda: wavelets.coeffs_to_array(
                [np.tile(BAND, (2, 1, 1, 1)), (BAND,) * 3]
            ),
            "batch and the channels",
        ),
        (
            lambda: wavelets.coeffs_to_array([np.tile(BAND, 3), (BAND,) * 3]),
            "batch and the channels",
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

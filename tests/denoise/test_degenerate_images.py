"""No NaN and no infinity, whatever the image: values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbad_jax import denoise

# Float32 transforms of images of order 1.
ATOL = 3e-6
SHAPE = (2, 8, 8, 1)


@functools.cache
def value_and_gradients(rule, backward):
    """All shrinkage functions in one program; compiled once a rule and mode."""

    @jax.jit
    def run(images, cotangent, table):
        def denoised(images, table):
            outputs = []
            for shrinkage in denoise.SHRINKAGE:
                options = denoise.DenoiserSettings(
                    threshold_rule=rule,
                    shrinkage=shrinkage,
                    level=1,
                    threshold=0.1 if rule == "fixed" else 0.0,
                    sigma_gradient=True,
                )
                learned = table
                if rule == "predicted":
                    learned = denoise.Denoiser(options, 64).predictor
                output = denoise.wavelet_denoise(
                    images, options, learned, backward=backward
                )
                outputs.append(output)
            return outputs

        outputs, transpose = jax.vjp(denoised, images, table)
        return outputs, transpose([cotangent] * len(outputs))

    return run


patterns = st.sampled_from(["constant", "spot", "checkerboard", "noise", "stripes"])
scales = st.sampled_from([0.0, 1e-45, 1e-40, 1e-38, 1e-20, 1e-10, 1e-3, 1.0, 1e6])


def pattern_of(name, seed):
    rows, columns = np.indices(SHAPE[1:3])[..., None]
    images = {
        "constant": np.ones(SHAPE),
        "spot": ((rows == 4) & (columns == 4)) * np.ones(SHAPE),
        "checkerboard": (-1.0) ** (rows + columns) * np.ones(SHAPE),
        "noise": np.random.default_rng(seed).normal(size=SHAPE),
        "stripes": (rows % 2) * np.ones(SHAPE),
    }
    return images[name]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("rule", "backward"),
    [(rule, "exact") for rule in denoise.RULES]
    + [("universal", "smooth"), ("learned", "smooth")],
)
def test_values_and_gradients_are_finite(rule, backward):
    run = value_and_gradients(rule, backward)
    multiples = st.one_of(st.just(0.0), st.floats(0, 1e6, width=32))

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(patterns, scales, scales, multiples, st.integers(0, 3))
    def check(name, scale, offset, multiple, seed):
        images = (scale * pattern_of(name, seed) + offset).astype(np.float32)
        table = np.full((1, 3), multiple, np.float32)
        outputs, gradients = run(images, np.ones(SHAPE, np.float32), table)
        for array in jax.tree.leaves((outputs, gradients)):
            assert np.all(np.isfinite(array)), (name, scale, offset, multiple)

    check()


# A fixed threshold takes out what is below it, noise or not.
@pytest.mark.fast
@pytest.mark.parametrize("rule", [rule for rule in denoise.RULES if rule != "fixed"])
def test_images_without_noise_pass_unchanged(rule):
    """Also one with a spot: few coefficients are not 0, so the noise level is 0."""
    run = value_and_gradients(rule, "exact")
    table = np.full((1, 3), 2.0, np.float32)
    for value in (0.0, 0.3, 1.0, 1e-20):
        for spot in (0.0, 0.1):
            images = np.full(SHAPE, value, np.float32)
            images[:, 4, 4] += spot
            outputs, _ = run(images, np.ones_like(images), table)
            for output in outputs:
                np.testing.assert_allclose(output, images, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_the_check_sees_a_naive_gradient():
    """The textbook form of soft shrinkage, on the coefficients of a flat image."""

    def textbook(c):
        return jnp.sum(c * jnp.maximum(1 - 0.1 / jnp.abs(c), 0))

    assert not np.all(np.isfinite(jax.grad(textbook)(jnp.zeros(4))))

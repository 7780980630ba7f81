"""Names and numbers of trained thresholds, against a table written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import denoise


@pytest.mark.fast
def test_level_1_is_the_finest():
    thresholds = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[..., None]
    summary = jax.jit(denoise.summarise_thresholds)(thresholds, 300.0)
    assert {name: float(value) for name, value in summary.items()} == {
        "threshold/level2/horizontal": 1.0,
        "threshold/level2/vertical": 2.0,
        "threshold/level2/diagonal": 3.0,
        "threshold/level1/horizontal": 4.0,
        "threshold/level1/vertical": 5.0,
        "threshold/level1/diagonal": 6.0,
        # Below a hundredth of 300 are 1 and 2; 3 is not.
        "threshold/collapsed": pytest.approx(1 / 3),
    }


@pytest.mark.fast
def test_sets_of_images_and_channels():
    thresholds = np.random.default_rng(0).random((11, 3, 3, 2)).astype(np.float32)
    summary = denoise.summarise_thresholds(jnp.asarray(thresholds), 20.0)
    assert len(summary) == 1 + 3 * 3 * 2 * 4
    values = thresholds[:, 0, 1, 1]
    name = "threshold/level3/vertical/channel1"
    assert float(summary[name]) == pytest.approx(values.mean())
    for share in (10, 50, 90):
        expected = np.percentile(values, share)
        found = float(summary[f"{name}/quantile{share}"])
        assert found == pytest.approx(expected, rel=1e-5)
    collapsed = float(summary["threshold/collapsed"])
    assert collapsed == pytest.approx(np.mean(thresholds < 0.2))
    assert 0.1 < collapsed < 0.3


@pytest.mark.fast
@pytest.mark.parametrize("options", [{}, {"stationary": True}, {"level_noise": True}])
def test_predicted_thresholds_are_those_in_use(options):
    """A rule "learned" given them as an array denoises alike, image by image."""
    rule = {"threshold_rule": "predicted", "level": 2, **options}
    settings = denoise.DenoiserSettings(**rule)
    denoiser = denoise.Denoiser(settings, num_pixels=12 * 16)
    rng = np.random.default_rng(1)
    denoiser.predictor.last.kernel[...] = jnp.asarray(rng.normal(size=(16, 1)))
    images = jnp.asarray(rng.random((3, 12, 16, 1)), jnp.float32)
    found = denoiser.thresholds(images)
    assert found.shape == (3, 2, 3, 1)
    assert float(jnp.std(found)) > 0.1
    learned = denoise.DenoiserSettings(**rule | {"threshold_rule": "learned"})
    np.testing.assert_allclose(
        denoise.wavelet_denoise(images, learned, found), denoiser(images), atol=1e-6
    )

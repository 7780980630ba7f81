"""What the metric log is told of trained thresholds, and their picture.

That a run's log holds what its checkpoints hold is tested in `test_smoke_configs`.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import cohort, settings
from experiments.threshold_log import draw_thresholds, threshold_observer
from experiments.threshold_plot import draw
from wbad_jax import wavelets

ORIENTATIONS = ("horizontal", "vertical", "diagonal")


def build_arm(config, name="wbad"):
    arms = settings.build_arms(config, (32, 32, 1))
    return next(arm for arm in arms if arm.name == name)


def test_predicted_thresholds_are_measured_on_the_validation_set(smoke_config):
    config = smoke_config("wbad_learned", **{"denoiser.threshold_rule": "predicted"})
    dataset = cohort.load(config)
    validation = cohort.make_folds(config, dataset)[0].validation
    arm = build_arm(config)
    params = arm.classifier.init(jax.random.key(0))
    kernel = jax.random.normal(jax.random.key(1), (16, 1))
    params["denoiser"]["predictor"]["last"]["kernel"] = kernel
    observed = threshold_observer(arm, validation)(params)

    # One image at a time, by the layers' own formula.
    layers, values = params["denoiser"]["predictor"], []
    hidden = layers["hidden"]
    for image in validation.images:
        coarse, fine = wavelets.wavedec2(image, "db2", level=2)[1:]
        sigma = np.median(np.abs(fine.diagonal)) / 0.6744897501960817
        band = np.asarray(coarse.vertical, np.float64)
        inputs = [
            np.log(np.sqrt(np.mean(band**2)) / sigma),
            np.log(np.mean(np.abs(band)) / sigma),
            np.log(np.mean(band**4) / np.mean(band**2) ** 2),
            *(1, 0),  # level 2 of 2
            *(0, 1, 0),  # vertical
        ]
        inner = np.tanh(inputs @ np.asarray(hidden["kernel"]) + hidden["bias"])
        outer = inner @ np.asarray(kernel) + layers["last"]["bias"]
        values.append(np.log1p(np.exp(outer[0])))
    name = "threshold/level2/vertical"
    assert float(observed[name]) == pytest.approx(np.mean(values), rel=1e-3)
    middle = float(observed[f"{name}/quantile50"])
    assert middle == pytest.approx(np.median(values), rel=1e-3)
    assert np.std(values) > 0.01


@pytest.mark.parametrize(
    ("sharing", "shape"), [("image", (1, 1, 1)), ("level", (2, 1, 1))]
)
def test_shared_thresholds_stand_for_all_that_share_them(sharing, shape, smoke_config):
    config = smoke_config("wbad_learned", **{"denoiser.sharing": sharing})
    arm = build_arm(config)
    params = arm.classifier.init(jax.random.key(0))
    raw = jnp.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    params["denoiser"]["raw_thresholds"] = raw
    validation = cohort.make_folds(config, cohort.load(config))[0].validation
    observed = threshold_observer(arm, validation)(params)
    assert len(observed) == 7
    for level in (1, 2):
        row = shape[0] - level if sharing == "level" else 0
        expected = np.log1p(np.exp(float(raw[row, 0, 0])))
        for orientation in ORIENTATIONS:
            found = float(observed[f"threshold/level{level}/{orientation}"])
            assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rule", ["learned", "predicted"])
def test_thresholds_have_a_learning_rate_of_their_own_and_no_decay(rule, smoke_config):
    """The optimiser as a run builds it, on the parameters as a run has them."""
    rates = {"training.learning_rate": 0.01, "training.threshold_learning_rate": 0.07}
    overrides = {"denoiser.threshold_rule": rule, "training.weight_decay": 0.5}
    arm = build_arm(smoke_config("wbad_learned", **rates, **overrides))
    params = arm.classifier.init(jax.random.key(0))
    gradient = jax.tree.map(jnp.ones_like, params)
    state = arm.optimizer.init(params)
    for _ in range(2):  # The first step of the warm-up has rate 0.
        updates, state = arm.optimizer.update(gradient, state, params)
    for leaf in jax.tree.leaves(updates["denoiser"]):
        np.testing.assert_allclose(leaf, -0.07, rtol=1e-4)
    for leaf, weights in zip(
        jax.tree.leaves(updates["network"]),
        jax.tree.leaves(params["network"]),
        strict=True,
    ):
        decay = 0.5 * weights if weights.ndim > 1 else 0.0
        np.testing.assert_allclose(leaf, -0.01 * (1 + decay), rtol=1e-4, atol=1e-7)


def line(step, **values):
    return {"run": "wbad", "step": step, "threshold/collapsed": 0.0, **values}


def test_drawn_with_quantiles_and_channels_and_not_without_matplotlib(
    tmp_path, monkeypatch
):
    names = [
        f"threshold/level{level}/{orientation}/channel0{quantile}"
        for level in (1, 2)
        for orientation in ORIENTATIONS
        for quantile in ("", "/quantile10", "/quantile50", "/quantile90")
    ]
    lines = [line(step, **dict.fromkeys(names, 1.0)) for step in (1, 2)]
    path = tmp_path / "arm" / "thresholds.png"
    assert draw([{"run": "wbad", "step": 1, "loss": 1.0}, *lines], path, universal=3.0)
    assert path.exists()
    assert not draw([], tmp_path / "none.png", universal=3.0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not draw(lines, tmp_path / "none.png", universal=3.0)
    assert not (tmp_path / "none.png").exists()


def test_an_arm_without_trained_thresholds_is_not_drawn(smoke_config, tmp_path):
    config = smoke_config("wbad_learned")
    draw_thresholds(build_arm(config, "undefended"), tmp_path, "undefended")
    assert not list(tmp_path.iterdir())

"""The comparison of training steps: the twin in PyTorch learns the same."""

import functools
import json

import jax
import numpy as np
import pytest

from benchmarks import training_jax, training_kernels, training_vs_torch
from benchmarks.training_problem import StepSettings

SMALL = {"size": 32, "batch": 8, "widths": (8, 16)}


@pytest.mark.fast
@pytest.mark.parametrize("stride", [1, 2])
def test_the_ways_to_a_kernel_gradient_agree(stride):
    images, cotangent, kernel = training_kernels.draw(8, 3, 32, stride, batch=2)
    expected = training_kernels.by_differentiation(kernel, stride, images, cotangent)
    for way in (
        functools.partial(training_kernels.kernel_gradient, taps=(3, 3), stride=stride),
        functools.partial(training_kernels.nine_products, stride),
    ):
        np.testing.assert_allclose(way(images, cotangent), expected, atol=1e-4)


@pytest.mark.fast
def test_operations_of_a_product_are_counted():
    rate = training_kernels.gigaflops("XLA, 16, 64, 64, 1", cpu_ms=1e3)
    pixels = training_kernels.BATCH * 16 * 16
    assert rate == pytest.approx(2 * 9 * pixels * 64 * 64 / 1e9)


@pytest.mark.fast
def test_a_straight_line_is_found_and_a_bend_is_seen():
    line = {n: {"cpu_ms": 3 + 2 * n} for n in (1, 2, 5, 10)}
    fit = training_vs_torch.fit_line(line)
    assert fit["slope_ms"] == pytest.approx(2)
    assert fit["intercept_ms"] == pytest.approx(3)
    assert fit["largest_error"] == pytest.approx(0, abs=1e-9)
    line[10]["cpu_ms"] *= 2
    assert training_vs_torch.fit_line(line)["largest_error"] > 0.1


@pytest.mark.parametrize("model", ["bare", "denoised"])
def test_plain_flax_is_the_same_network(model):
    settings = StepSettings(model=model, objective="standard", **SMALL)
    images, _, _ = settings.draw_batch()
    params = jax.jit(settings.classifier.init)(jax.random.key(0))
    expected = jax.jit(settings.classifier.apply)(params, images)
    with training_jax.plain_flax():
        actual = jax.jit(settings.classifier.apply)(params, images)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["bare", "denoised"])
def test_the_twin_in_pytorch_learns_the_same(model):
    torch = pytest.importorskip("torch")
    training_torch = pytest.importorskip("benchmarks.training_torch")
    settings = StepSettings(
        model=model, objective="standard", learning_rate=1e-4, **SMALL
    )
    twin = training_torch.Trainer(settings, torch.contiguous_format)
    losses = [twin() for _ in range(3)]
    classifier = settings.classifier
    objective = training_jax.training.mixture(classifier.logits_fn, {}, {"clean": 1.0})
    optimizer = training_jax.optax.adamw(1e-4, weight_decay=1e-3)
    step = training_jax.training.make_train_step(objective, optimizer)
    params = jax.jit(classifier.init)(jax.random.key(0))
    state = training_jax.training.init_state(params, optimizer)
    expected = []
    for _ in range(3):
        state, metrics = step(state, settings.draw_batch(), jax.random.key(1), {})
        expected.append(float(metrics["loss"]))
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


@pytest.mark.fast
def test_a_row_is_replaced_and_others_stay(tmp_path):
    path = tmp_path / "results.json"

    def row(attack, value):
        return {"attack": attack, "model": "bare", "value": value}

    for attack, value in (("standard", 1), ("adversarial", 2), ("standard", 3)):
        training_vs_torch.save(path, "steps", row(attack, value))
    training_vs_torch.save(path, "growth", {"quantity": "batch", "value": 4})
    report = json.loads(path.read_text())
    assert [r["value"] for r in report["steps"]["rows"]] == [3, 2]
    assert [r["value"] for r in report["growth"]["rows"]] == [4]

"""Twins as teachers: the target and the loss by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks, training
from wbad_jax.training.lesion_maps import lesions_of
from wbad_jax.types import Batch

pytestmark = pytest.mark.fast
BUDGETS = {"linf": 0.05}
SCALE = 0.1


def maps_fn(params, images):
    cells = images[..., 0].reshape(-1, 2, 2, 2, 3).mean(axis=(2, 4)) * params["gain"]
    evidence = cells.max(axis=(1, 2))
    return jnp.stack([-evidence, evidence], axis=-1), cells


def logits_fn_of(params):
    return lambda images: maps_fn(params, images)[0]


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    images = rng.uniform(0.3, 0.7, (6, 4, 6, 1)).astype(np.float32)
    weights = np.asarray([1, 1, 1, 1, 1, 0], np.float32)
    return Batch(images, np.asarray([0, 1, 0, 1, 1, 1], np.int32), weights)


def test_the_target_is_the_mean_difference_of_twins(batch):
    lesions, known = lesions_of(batch.images, batch.labels, (2, 2), SCALE)
    assert known.tolist() == [1, 1, 1, 1, 0, 0]
    assert np.all(np.asarray(lesions)[[0, 2, 4, 5]] == 0)
    for healthy, tumour in ((0, 1), (2, 3)):
        apart = (batch.images[tumour] - batch.images[healthy])[..., 0] / SCALE
        for row in range(2):
            for column in range(2):
                cell = apart[2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
                found = lesions[tumour, row, column]
                np.testing.assert_allclose(found, cell.mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_loss_by_hand(weight, batch, key):
    params = {"gain": jnp.float32(2.0)}
    objective = training.make_objective(
        "lesion_map", logits_fn_of, {"pgd": attacks.PGD(num_steps=2)}, mix={},
        lesion_map_weight=weight, maps=(maps_fn, SCALE),
    )  # fmt: skip
    versions = objective.craft(params, key, batch, BUDGETS)
    assert np.abs(versions["pgd"] - batch.images).max() == pytest.approx(0.05, rel=1e-4)
    loss, metrics = objective.loss(params, batch, versions)
    logits, maps = map(np.asarray, maps_fn(params, versions["pgd"]))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    right = (shifted / shifted.sum(axis=1, keepdims=True))[range(6), batch.labels]
    lesions, _ = lesions_of(batch.images, batch.labels, (2, 2), SCALE)
    errors = np.square(maps - np.asarray(lesions)).sum(axis=(1, 2))
    # Five images count, four of which have a twin.
    expected = -np.log(right)[:5].mean() + weight * errors[:4].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["lesion_error"], errors[:4].sum() / 5, rtol=1e-4)
    gradient = jax.grad(lambda p: objective.loss(p, batch, versions)[0])(params)
    assert np.isfinite(gradient["gain"])


@pytest.mark.parametrize(
    ("images", "size"), [((5, 4, 6, 1), (2, 2)), ((4, 4, 6, 1), (3, 2))]
)
def test_cells_that_do_not_fit_are_refused(images, size):
    with pytest.raises(ValueError, match="even batch and cells that tile"):
        lesions_of(np.zeros(images, np.float32), np.zeros(images[0], int), size, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs a network with such a map"),
        ({"maps": (maps_fn, SCALE), "lesion_map_weight": -1.0}, "at least 0, got -1.0"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        training.make_objective(
            "lesion_map", logits_fn_of, {"pgd": attacks.PGD()}, mix={}, **settings
        )

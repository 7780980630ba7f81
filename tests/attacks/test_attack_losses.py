import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax.attacks import losses

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("classes", [2, 10])
def test_margin_is_negative_exactly_when_misclassified(classes, key):
    logits = jax.random.normal(key, (200, classes))
    labels = jnp.arange(200) % classes
    wrong = losses.misclassified(logits, labels)
    np.testing.assert_array_equal(losses.margin(logits, labels) < 0, wrong)
    np.testing.assert_array_equal(losses.margin_loss(logits, labels) > 0, wrong)


def test_a_tie_goes_to_the_lower_class_as_in_argmax():
    logits, labels = jnp.zeros((2, 2)), jnp.asarray([0, 1])
    np.testing.assert_array_equal(losses.margin(logits, labels), [0, 0])
    np.testing.assert_array_equal(losses.misclassified(logits, labels), [False, True])


def test_negative_logits_are_not_compared_with_zero():
    logits = jnp.asarray([[-20.0, -21.0]])
    np.testing.assert_array_equal(losses.margin(logits, jnp.asarray([0])), [1])
    np.testing.assert_array_equal(losses.margin(logits, jnp.asarray([1])), [-1])


def test_cross_entropy_of_two_classes_is_softplus_of_the_margin(key):
    logits, labels = 5 * jax.random.normal(key, (50, 2)), jnp.arange(50) % 2
    np.testing.assert_allclose(
        losses.cross_entropy(logits, labels),
        np.logaddexp(0, -losses.margin(logits, labels)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_half_precision_logits_are_compared_in_float32():
    logits = jnp.asarray([[1.0, 0.5, 0.25]], jnp.bfloat16)
    for loss in losses.LOSSES.values():
        assert loss(logits, jnp.asarray([0])).dtype == jnp.float32


def test_gradients_are_finite_where_logits_are_extreme():
    logits = jnp.asarray([[1e30, -1e30], [0.0, 0.0]])
    for name in ("margin", "cross_entropy"):
        loss = losses.LOSSES[name]
        gradient = jax.grad(lambda z, f=loss: f(z, jnp.asarray([0, 1])).sum())(logits)
        assert np.all(np.isfinite(gradient))


def test_ratios_of_logits_by_hand():
    logits = jnp.asarray([[5.0, 3.0, 1.0, 0.0], [5.0, 3.0, 1.0, 0.0]])
    labels, targets = jnp.asarray([0, 1]), jnp.asarray([2, 3])
    dlr = losses.LOSSES["dlr"](logits, labels)
    np.testing.assert_allclose(dlr, [-2 / 4, 2 / 4])
    targeted = losses.TARGETED_LOSSES["targeted_dlr"](logits, labels, targets)
    np.testing.assert_allclose(targeted, [-4 / 4.5, -3 / 4.5])
    difference = losses.TARGETED_LOSSES["targeted_margin"](logits, labels, targets)
    np.testing.assert_allclose(difference, [-4, -3])


@pytest.mark.parametrize("name", ["dlr", "targeted_dlr"])
def test_ratios_do_not_change_when_logits_are_scaled_and_shifted(name, key):
    logits = jax.random.normal(key, (20, 5))
    labels = jnp.arange(20) % 5
    arguments = (labels,) if name == "dlr" else (labels, (labels + 2) % 5)
    loss = (losses.LOSSES | losses.TARGETED_LOSSES)[name]
    expected = loss(logits, *arguments)
    changed = loss(1e4 * logits + 20, *arguments)
    np.testing.assert_allclose(changed, expected, rtol=1e-4)

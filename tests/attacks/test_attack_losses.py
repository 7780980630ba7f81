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
    logits = jnp.asarray([[1.0, 0.5]], jnp.bfloat16)
    for loss in losses.LOSSES.values():
        assert loss(logits, jnp.asarray([0])).dtype == jnp.float32


def test_gradients_are_finite_where_logits_are_extreme():
    logits = jnp.asarray([[1e30, -1e30], [0.0, 0.0]])
    for loss in losses.LOSSES.values():
        gradient = jax.grad(lambda z, f=loss: f(z, jnp.asarray([0, 1])).sum())(logits)
        assert np.all(np.isfinite(gradient))

"""One value exactly, the gradient of another, in every mode of differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import denoise


def rounded(x):
    """Rounds, and differentiates as x cubed."""
    return denoise.replace_gradient(jnp.round(3 * x), x**3)


X = jnp.asarray([0.31, -1.7, 2.2])


@pytest.mark.fast
def test_value_is_exact_and_gradient_is_the_other():
    value, transpose = jax.jit(lambda x: jax.vjp(rounded, x)[0:2])(X)
    np.testing.assert_array_equal(value, np.round(3 * X))
    np.testing.assert_allclose(transpose(jnp.ones(3))[0], 3 * X**2, rtol=1e-6)
    _, tangent = jax.jit(lambda x, v: jax.jvp(rounded, (x,), (v,)))(X, jnp.ones(3))
    np.testing.assert_allclose(tangent, 3 * X**2, rtol=1e-6)


@pytest.mark.fast
def test_no_gradient_flows_into_the_value():
    def function(value, other):
        return jnp.sum(denoise.replace_gradient(value, other))

    by_value, by_other = jax.jit(jax.grad(function, argnums=(0, 1)))(X, X)
    np.testing.assert_array_equal(by_value, 0)
    np.testing.assert_array_equal(by_other, 1)


@pytest.mark.fast
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
def test_second_derivatives(outer, inner):
    second = jax.jit(outer(inner(rounded)))(X)
    np.testing.assert_allclose(jnp.einsum("iii->i", second), 6 * X, rtol=1e-6)


@pytest.mark.fast
def test_derivative_of_a_function_of_the_value():
    """The outer function is taken at the value, not at the differentiable."""
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(rounded(x) ** 2)))(X)
    np.testing.assert_allclose(gradient, 2 * np.round(3 * X) * 3 * X**2, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
def test_second_derivative_of_a_function_of_the_value(outer):
    """The value that the first derivative holds has the replaced gradient too."""
    second = jax.jit(outer(jax.grad(lambda x: jnp.sum(rounded(x) ** 2))))(X)
    expected = 2 * (3 * X**2) ** 2 + 2 * np.round(3 * X) * 6 * X
    np.testing.assert_allclose(jnp.diag(second), expected, rtol=1e-6)


@pytest.mark.fast
def test_vmap():
    mapped = jax.jit(jax.vmap(jax.value_and_grad(rounded)))(X)
    np.testing.assert_array_equal(mapped[0], np.round(3 * X))
    np.testing.assert_allclose(mapped[1], 3 * X**2, rtol=1e-6)


@pytest.mark.fast
def test_value_is_not_rounded_where_a_sum_would_be():
    small, large = jnp.float32(1e-3), jnp.float32(1e6)
    assert denoise.replace_gradient(small, large) == small
    assert large + (small - large) != small


@pytest.mark.fast
@pytest.mark.parametrize("other", [jnp.zeros((2, 1)), jnp.zeros(2, jnp.bfloat16)])
def test_what_does_not_agree_is_refused(other):
    with pytest.raises(ValueError, match=r"must agree in shape and dtype, got \(2,\)"):
        denoise.replace_gradient(jnp.zeros(2), other)

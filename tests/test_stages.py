"""Stages: same results, compiled as functions of their own, one after the other."""

import math

import jax
import jax.numpy as jnp
import pytest

from wbad_jax import stages

pytestmark = pytest.mark.fast
on_cpu = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="elsewhere the compiler is left free"
)


def double(x, *, times):
    return 2.0**times * x


@pytest.mark.parametrize("stage", [stages.inline, stages.separately])
def test_a_stage_is_its_function(stage):
    assert stage(double, jnp.float32(3), times=2) == 12
    gradient = jax.grad(lambda x: stage(double, x, times=3))(jnp.float32(1))
    assert gradient == 8


def test_equal_stages_are_compiled_once():
    first = stages._jitted(double, (("times", 1),))
    assert stages._jitted(double, (("times", 1),)) is first
    assert stages._jitted(double, (("times", 2),)) is not first


def cosine_after_sine(x, y):
    first, then = stages.in_order(jnp.sin(x), y)
    return first, jnp.cos(then)


@on_cpu
def test_the_second_is_computed_on_once_the_first_is_there():
    equations = jax.make_jaxpr(cosine_after_sine)(1.0, 2.0).eqns
    made_by = {out: each for each in equations for out in each.outvars}
    (cosine,) = (each for each in equations if each.primitive.name == "cos")
    barrier = made_by[cosine.invars[0]]
    before = {made_by[v].primitive.name for v in barrier.invars if v in made_by}
    assert before == {"sin"}


@on_cpu
def test_the_compiler_does_not_take_the_order_away():
    compiled = jax.jit(cosine_after_sine).lower(1.0, 2.0).compile().as_text()
    (call,) = (line for line in compiled.splitlines() if " call(" in line)
    assert call.count("%") >= 3  # itself and both arguments
    found = jax.jit(cosine_after_sine)(1.0, 2.0)
    assert found == pytest.approx((math.sin(1), math.cos(2)), rel=1e-6)

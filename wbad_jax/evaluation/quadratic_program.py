"""The adversary's best shift of a known template, by projected gradients."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

_AT_LIMIT = 1e-5  # relative distance from a limit that counts as none
_CHECK_EVERY = 20  # iterations from one look at the gap to the next


class _State(NamedTuple):
    shift: Array
    momentum: Array
    step: Array
    iteration: Array
    gap: Array


@functools.partial(jax.jit, static_argnames="norm")
def worst_shift(
    half, spectra, units, observed, epsilon, tolerance, max_iterations, norm
):
    """Least |S^(-1/2) (half - z)| over z in a ball at observed pixels.

    Spectra have a minimum of 1, so 1 is the step of projected gradients.

    Args:
        half: Half of the templates, `[n, height, width]`.
        spectra: Of S, the same shape. Divided by their minima.
        units: Square roots of these minima, `[n]`.
        observed: Pixels where z is in the ball; elsewhere it is free.
        epsilon: Radius of the ball.
        tolerance: On the gap.
        max_iterations: Of projected gradients.
        norm: "linf" or "l2".

    Returns:
        z with its values at unobserved pixels, `[n, height, width]`.
    """

    def whiten(image):
        return jnp.fft.irfft2(
            jnp.fft.rfft2(image) / spectra[..., : image.shape[-1] // 2 + 1],
            s=image.shape[-2:],
        )

    def feasible(z):
        inside = project(jnp.where(observed, z, 0), epsilon, norm, jnp)
        return jnp.where(observed, inside, z)

    def iterate(_, state):
        shift, momentum, step, iteration, gap = state
        moved = feasible(momentum + whiten(half - momentum))
        change = moved - shift
        uphill = jnp.sum((momentum - moved) * change, (1, 2), keepdims=True) > 0
        step = jnp.where(uphill, 1.0, step)
        following = (1 + jnp.sqrt(1 + 4 * step**2)) / 2
        momentum = moved + jnp.where(uphill, 0.0, (step - 1) / following) * change
        return _State(moved, momentum, following, iteration + 1, gap)

    def advance(state):
        state = jax.lax.fori_loop(0, _CHECK_EVERY, iterate, state)
        rest = half - state.shift
        weights = whiten(rest)
        upper = jnp.sqrt(jnp.sum(rest * weights, (1, 2)))
        weights = supported(weights, state.shift, observed, epsilon, norm, jnp)
        modes = jnp.fft.fft2(weights, norm="ortho")
        spread = jnp.sqrt(jnp.sum(spectra * jnp.abs(modes) ** 2, (1, 2)))
        gain = jnp.sum(weights * half, (1, 2)) - epsilon * dual_norm(weights, norm, jnp)
        lower = jnp.maximum(gain, 0.0) / jnp.where(spread > 0, spread, 1.0)
        return state._replace(gap=(upper - lower) / jnp.maximum(upper, units))

    def unfinished(state):
        return jnp.any(state.gap > tolerance / 2) & (state.iteration < max_iterations)

    start = feasible(half)
    ones = jnp.ones((len(half), 1, 1), half.dtype)
    state = _State(start, start, ones, jnp.int32(0), jnp.full(len(half), jnp.inf))
    return jax.lax.while_loop(unfinished, advance, state).shift


def project(z, epsilon, norm: str, xp):
    """The nearest shift within the ball, by image."""
    if norm == "linf":
        return xp.clip(z, -epsilon, epsilon)
    size = xp.sqrt(xp.sum(z**2, (1, 2), keepdims=True))
    return z * xp.minimum(1.0, epsilon / xp.where(size > 0, size, 1.0))


def supported(weights, shift, observed, epsilon, norm: str, xp):
    """Weights where they can be, 0 elsewhere.

    Linf: an optimal weight is not 0 only where the adversary goes all the way, and has
    the sign of that move. Small errors at the many other pixels would cost epsilon
    each.
    """
    if norm == "linf":
        far = xp.abs(shift) >= epsilon * (1 - _AT_LIMIT)
        observed = observed & far & (shift * weights >= 0)
    return xp.where(observed, weights, 0.0)


def dual_norm(weights, norm: str, xp):
    """The adversary's gain per unit of epsilon, by image."""
    if norm == "linf":
        return xp.sum(xp.abs(weights), (1, 2))
    return xp.sqrt(xp.sum(weights**2, (1, 2)))

"""Lifts many dead wavelet coefficients over their thresholds at once, within a ball.

What all of them want does not fit into the ball. In Linf pixels choose among the
coefficients that they are part of; in L2 all coefficients share one budget.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks.ascent import Ball
from wbad_jax.attacks.dead_coefficients import DETAILS, map_bands, reach_of, reachable
from wbad_jax.attacks.subband_transform import Details, SubbandTransform
from wbad_jax.attacks.threat_models import per_example
from wbad_jax.types import Images

# Targets lie beyond the threshold by this share of it.
_OVERSHOOT = 0.02
_PIXELS = (1, 2, 3)


class Lifting(NamedTuple):
    """What is to be lifted.

    Attributes:
        transform: That of the denoiser.
        thresholds_at: From images to thresholds, three arrays for each level.
        ball: Clean images, and what confines their perturbation, Linf or L2.
        guide: For each detail coefficient how fast a loss would grow with it, were it
            alive: the sign is the side of the threshold to cross, the size the gain.
    """

    transform: SubbandTransform
    thresholds_at: Callable[[Images], list[Any]]
    ball: Ball
    guide: list[Details]

    def lifted(self, rounds: int) -> Images:
        """Images of the ball with many coefficients lifted, those that gain most first.

        Args:
            rounds: How often the choice is revised; thresholds may follow the image.
        """
        images = self.ball.images
        details = self.transform.analyze(images)[DETAILS]
        reach = reach_of(self.transform, images, self.ball.norm, self.ball.epsilon)
        thresholds = self.thresholds_at(images)
        wanted = map_bands(_wanted, self.guide, details, thresholds, reach)
        if self.ball.norm == "l2":
            return self._within_budget(wanted, rounds)
        return self._by_elimination(wanted, reach, rounds)

    def _by_elimination(self, wanted, reach, rounds: int) -> Images:
        """Pixels follow the weighted majority; who fails loses weight.

        The weights of a coefficient shrink by `exp(-lack / reach)` in each round, so
        that pixels turn to those that can still be lifted.
        """
        images = self.ball.images

        def attempt(_, carry):
            _, failures = carry
            pulls = map_bands(_weighted, wanted, self.guide, failures)
            gradient = self.transform.analysis_transpose(self._all(pulls), images)
            direction = self.ball.steepest(gradient, images)
            moved = self.ball.step(images, direction, 1.0)
            details = self.transform.analyze(moved)[DETAILS]
            lacks = map_bands(_lack, self.guide, details, self.thresholds_at(moved))
            return moved, map_bands(_failed, failures, lacks, reach)

        failures = [jax.tree.map(jnp.zeros_like, bands) for bands in self.guide]
        return jax.lax.fori_loop(0, rounds, attempt, (images, failures))[0]

    def _within_budget(self, wanted, rounds: int) -> Images:
        """The coefficients of most gain for the squared length, as many as fit."""
        images = self.ball.images
        details = self.transform.analyze(images)[DETAILS]

        def attempt(_, current):
            thresholds = self.thresholds_at(current)
            lacks = map_bands(_lack, self.guide, details, thresholds)
            lifts = _affordable(wanted, self.guide, lacks, self.ball.epsilon)
            return self.ball.move(
                self.transform.synthesize(self._all(lifts), images.shape)
            )

        return jax.lax.fori_loop(0, rounds, attempt, images)

    def _all(self, details: list[Details]) -> list[Any]:
        """Coefficients with an approximation of zeros, beside details."""
        template = jax.eval_shape(self.transform.analyze, self.ball.images)[0]
        return [jnp.zeros(template.shape, template.dtype), *details]


def _wanted(g: Array, w: Array, threshold: Array, reach: Array) -> Array:
    return reachable(jnp.sign(g) * w, threshold, reach)


def _lack(g: Array, w: Array, threshold: Array) -> Array:
    """How far a coefficient is from the target on its side."""
    return jnp.maximum((1 + _OVERSHOOT) * threshold - jnp.sign(g) * w, 0)


def _weighted(wanted: Array, g: Array, failures: Array) -> Array:
    # Kept above the smallest float32.
    return jnp.where(wanted, g * jnp.exp(-jnp.minimum(failures, 60)), 0)


def _failed(failures: Array, lack: Array, reach: Array) -> Array:
    return failures + lack / jnp.where(reach > 0, reach, 1)


def _affordable(wanted, guide, lacks, epsilon) -> list[Details]:
    """Lifts of total length epsilon at most, by bisection of the least ratio taken."""

    def cost_of(wanted, lack):
        return jnp.where(wanted, lack**2, 0)

    def ratio_of(cost, g):
        return jnp.where(cost > 0, jnp.abs(g) / jnp.where(cost > 0, cost, 1), 0)

    costs = map_bands(cost_of, wanted, lacks)
    ratios = map_bands(ratio_of, costs, guide)
    leaves = list(zip(jax.tree.leaves(ratios), jax.tree.leaves(costs), strict=True))
    tops = [jnp.max(ratio, _PIXELS, keepdims=True) for ratio, _ in leaves]
    highest = functools.reduce(jnp.maximum, tops)
    budget = jnp.square(per_example(epsilon, highest))

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        cut = highest * jnp.exp2(middle)
        total = sum(
            jnp.sum(jnp.where(ratio >= cut, cost, 0), _PIXELS, keepdims=True)
            for ratio, cost in leaves
        )
        fits = total <= budget
        return jnp.where(fits, low, middle), jnp.where(fits, middle, high)

    # Logarithms: ratios differ by orders of magnitude. At the upper end nothing fits
    # but by chance the best one.
    ends = (jnp.full_like(highest, -60.0), jnp.full_like(highest, 1.0))
    cut = highest * jnp.exp2(jax.lax.fori_loop(0, 30, halve, ends)[1])

    def lift(g, lack, ratio):
        return jnp.where((ratio >= cut) & (ratio > 0), jnp.sign(g) * lack, 0)

    return map_bands(lift, guide, lacks, ratios)

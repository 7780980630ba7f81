"""How the steps of Auto-PGD adapt, per example: lengths, restarts, sparsity.

At checkpoints an example that did not progress goes back to its best point and takes
shorter steps from there. In L1 it is the number of pixels changed at once that adapts.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from wbad_jax.attacks.ascent import Ball
from wbad_jax.attacks.l1_ball import sparse_direction
from wbad_jax.types import Images, PerExample

_L1_FIRST_DENSITY = 0.2
_L1_SHRINK = 1.5
_L1_SHORTEST = 0.1
_L1_STALLED = 0.95


class Progress(NamedTuple):
    """What an example's steps depend on.

    Attributes:
        length: Of steps, in parts of the radius.
        density: Share of the pixels that a step changes, in L1.
        improvements: Steps since the last checkpoint that raised the loss.
        best_before: Best loss at the last checkpoint.
        changed: Share of the pixels that the best point changed there, in L1.
        shortened: Whether steps were shortened there.
    """

    length: PerExample
    density: PerExample
    improvements: PerExample
    best_before: PerExample
    changed: PerExample
    shortened: Bool[Array, " batch"]


def start_progress(ball: Ball, loss: PerExample) -> Progress:
    """Before the first step, from the loss at the start."""
    one = jnp.ones_like(loss)
    return Progress(
        length=one if ball.norm == "l1" else 2 * one,
        density=_L1_FIRST_DENSITY * one,
        improvements=0 * one,
        best_before=loss,
        changed=one,
        # So that a lack of progress alone does not shorten steps at the first.
        shortened=jnp.ones_like(loss, dtype=bool),
    )


def checkpoints(norm: str, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Which steps end with a checkpoint, and how many steps it judges.

    Returns:
        Booleans and integers `[num_steps]`.

    Reference:
        Croce and Hein (2020), Reliable evaluation of adversarial robustness with an
        ensemble of diverse parameter-free attacks, section 3.1; for L1 Croce and Hein
        (2021), Mind the box, section 3.3.
    """
    window = max(int((0.04 if norm == "l1" else 0.22) * num_steps), 1)
    shortest = max(int(0.06 * num_steps), 1)
    decrement = max(int(0.03 * num_steps), 1)
    due, windows = np.zeros(num_steps, bool), np.zeros(num_steps, int)
    step = window
    while step <= num_steps:
        due[step - 1], windows[step - 1] = True, window
        if norm != "l1":
            window = max(window - decrement, shortest)
        step += window
    return due, windows


def direction(
    ball: Ball, current: Images, gradient: Images, progress: Progress
) -> Images:
    """The direction of unit norm of the next step."""
    if ball.norm != "l1":
        return ball.steepest(gradient, current)
    gradient = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
    if ball.mask is not None:
        gradient = jnp.where(ball.mask != 0, gradient, 0)
    count = jnp.round(progress.density * gradient[0].size)
    return sparse_direction(gradient, count[:, None, None, None])


def shorten(
    progress: Progress, best_loss: PerExample, window: Array, rho: float
) -> tuple[Bool[Array, " batch"], Progress]:
    """Judges a checkpoint in Linf and L2.

    Args:
        progress: Since the last one.
        best_loss: Up to now.
        window: Steps since the last checkpoint.
        rho: Share of them that must have raised the loss.

    Returns:
        Which examples go back to their best point, with steps of half the length; and
        the progress that the next checkpoint is judged by.
    """
    oscillates = progress.improvements <= rho * window
    stalls = ~progress.shortened & (best_loss <= progress.best_before)
    back = oscillates | stalls
    return back, progress._replace(
        length=jnp.where(back, progress.length / 2, progress.length),
        improvements=jnp.zeros_like(progress.improvements),
        best_before=best_loss,
        shortened=back,
    )


def sparsen(
    progress: Progress, ball: Ball, best: Images
) -> tuple[Bool[Array, " batch"], Progress]:
    """Judges a checkpoint in L1, by how many pixels the best point changes.

    The next steps change fewer still. Where the pixels become fewer steps have full
    length again, otherwise they become shorter.

    Returns:
        As `shorten`: an example whose steps became sparser goes back to its best point.
    """
    changed = jnp.mean((best != ball.images).astype(best.dtype), axis=(1, 2, 3))
    fewer = changed < _L1_STALLED * progress.changed
    shorter = jnp.maximum(progress.length / _L1_SHRINK, _L1_SHORTEST)
    return fewer, progress._replace(
        density=changed / _L1_SHRINK,
        length=jnp.where(fewer, jnp.ones_like(shorter), shorter),
        changed=changed,
    )


def improved(progress: Progress, loss: PerExample, before: PerExample) -> Progress:
    """Counts a step that raised the loss."""
    count = progress.improvements + (loss > before).astype(loss.dtype)
    return progress._replace(improvements=count)

"""Checks of the gradient that attacks follow, and of the function it belongs to.

Sources: Carlini et al. (2019), On evaluating adversarial robustness; Pintor et al.
(2022), Indicators of attack failure; Croce and Hein (2020), the warnings of AutoAttack.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wbad_jax import attacks
from wbad_jax.attacks import LOSSES
from wbad_jax.evaluation.arm_record import percent
from wbad_jax.evaluation.check_results import Verdict, too_many, verdict
from wbad_jax.evaluation.subject import CheckSettings, Subject, right
from wbad_jax.types import Images, Labels, LogitsFn

# Central differences take this share of epsilon: small against the bends of a network,
# large against the rounding of its logits.
_DIFFERENCE = 0.05
_MOST_WRONG_SLOPE = 0.1
_NOISE_SHARE, _NOISE_POINTS = 0.1, 100
_MOST_UNSTABLE = 0.1
_DETERMINISTIC = 1e-4  # of the typical logit gap, as in AutoAttack's warning
_MOST_UNDERFLOW = 0.005


def pipeline_differentiated(subject: Subject, settings: CheckSettings) -> Verdict:
    """C3: the gradient is that of the whole classifier, denoiser and all.

    The slope by the gradient is compared with that by central differences of the logits
    themselves, along the signs of the gradient, where attacks go. The slope along
    random signs is evidence alone: white noise also moves the denoiser's estimate of
    the noise level, which its gradient holds constant unless `sigma_gradient` is set.
    """
    part = subject.first(settings.num_examples)

    def step(params, images, labels, keys):
        logits_fn = part.logits_fn_of(params)
        gradient = input_gradient(logits_fn, images, labels)
        random = _random_signs(keys, images)
        along = jnp.where(gradient == 0, random, jnp.sign(gradient))
        errors = [
            _slope_error(logits_fn, images, labels, gradient, signs, part.epsilon)
            for signs in (along, random)
        ]
        others = {
            name: _cosine(gradient, input_gradient(of(params), images, labels))
            for name, of in {**part.surrogates_of, **part.ablations_of}.items()
        }
        return jnp.stack(errors, axis=-1), others

    errors, others = part.map(step)
    along, random = np.median(errors, axis=0)
    return verdict(
        along <= _MOST_WRONG_SLOPE,
        f"Slopes by the gradient agree with differences of the logits (median error "
        f"{percent(along)}; along random signs {percent(random)}).",
        f"Slopes by the gradient do not agree with differences of the logits (median "
        f"error {percent(along)}; along random signs {percent(random)}): a part of the "
        "classifier is detached, or is not differentiable.",
        median_error_along_gradient=along,
        median_error_along_random_signs=random,
        median_cosine_with={name: np.median(value) for name, value in others.items()},
        n=len(errors),
    )


def gradients_available(subject: Subject, settings: CheckSettings) -> Verdict:
    """C4: no gradient is zero, infinite or NaN, at the start or on the way."""
    part = subject.first(settings.num_examples)
    zero, broken, _ = part.map(ascent(part, settings.path_steps))
    counts = {
        "zero_at_start": int(zero[:, 0].sum()),
        "zero_on_the_way": int(zero.any(axis=1).sum()),
        "not_finite_at_start": int(broken[:, 0].sum()),
        "not_finite_on_the_way": int(broken.any(axis=1).sum()),
    }
    n, lost = len(zero), int((zero | broken).any(axis=1).sum())
    return verdict(
        lost == 0,
        f"The margin has a gradient at all {settings.path_steps} points of the way of "
        f"{n} images.",
        f"{lost} of {n} images meet a gradient that is zero or not finite "
        f"({counts['zero_at_start']} zero at the start): attacks that follow it stand "
        "still.",
        n=n,
        **counts,
    )


def logits_scaled_well(subject: Subject, settings: CheckSettings) -> Verdict:
    """C5: logits, not probabilities, and not so large that cross-entropy vanishes."""
    part = subject.first(settings.num_examples)
    pgd = {
        loss: attacks.PGD(
            norm=part.attack.norm, num_steps=settings.path_steps, loss=loss
        )
        for loss in ("margin", "cross_entropy")
    }

    def step(params, images, labels, keys):
        logits_fn = part.logits_fn_of(params)
        silent = {
            loss: _is_zero(input_gradient(logits_fn, images, labels, loss))
            for loss in pgd
        }
        found = {
            loss: attack(logits_fn, keys, images, labels, epsilon=part.epsilon).success
            for loss, attack in pgd.items()
        }
        return logits_fn(images), silent, found

    logits, silent, found = part.map(step)
    n = len(logits)
    underflow = silent["cross_entropy"] & ~silent["margin"]
    missed = int(found["margin"].sum()) - int(found["cross_entropy"].sum())
    probabilities = bool(
        ((logits >= 0) & (logits <= 1)).all()
        and np.allclose(logits.sum(axis=-1), 1, atol=1e-4)
    )
    faults = []
    if probabilities:
        faults.append("its outputs are probabilities, not logits")
    if too_many(int(underflow.sum()), n, _MOST_UNDERFLOW):
        faults.append(
            f"cross-entropy has no gradient on {percent(underflow.mean())} of the "
            "images"
        )
    if too_many(missed, n, _MOST_UNDERFLOW):
        faults.append(f"PGD on cross-entropy misses {missed} that the margin finds")
    return verdict(
        not faults,
        "Margin and cross-entropy attack alike; outputs are logits of ordinary size.",
        f"The scale of the outputs hides gradients: {'; '.join(faults)}. Attacks here "
        "use the margin; others would report too much.",
        probabilities=probabilities,
        cross_entropy_underflow=underflow.mean(),
        success={loss: value.mean() for loss, value in found.items()},
        median_logit_gap=np.median(np.ptp(logits, axis=-1)),
        n=n,
    )


def deterministic(subject: Subject, settings: CheckSettings) -> Verdict:
    """C6: the same images give the same logits, in any company and compilation."""
    part = subject.first(settings.num_examples)
    images = part.examples.images
    # `logits` compiles anew: numbers drawn while tracing differ as well.
    passes = [part.logits(images) for _ in range(2)]

    def repeat(params, images, labels, keys):
        logits_fn = part.logits_fn_of(params)
        # Behind a barrier, or XLA would compute it once.
        again = jax.lax.optimization_barrier(images)
        return logits_fn(images), logits_fn(again)

    passes += list(part.map(repeat))
    passes.append(_in_other_company(part, images))
    scale = max(float(np.median(np.ptp(passes[0], axis=-1))), 1e-12)
    spread = float(np.max(np.ptp(passes, axis=0))) / scale
    return verdict(
        spread < _DETERMINISTIC,
        f"Five passes agree to {spread:.1g} of the typical logit gap.",
        f"Five passes over the same images differ by {spread:.2g} of the typical logit "
        "gap: the classifier draws at random, or mixes the images of a batch. Attacks "
        "need the expectation over its draws.",
        largest_difference=spread,
    )


def _in_other_company(part: Subject, images: np.ndarray) -> np.ndarray:
    """Logits where every second image gives way to its neighbour, both ways round."""
    rows = np.arange(len(images))
    neighbours = np.minimum(rows ^ 1, len(images) - 1)
    even = rows % 2 == 0
    with_even = part.logits(images[np.where(even, rows, neighbours)])
    with_odd = part.logits(images[np.where(even, neighbours, rows)])
    return np.where(even[:, None], with_even, with_odd)


def predictions_stable(subject: Subject, settings: CheckSettings) -> Verdict:
    """C22: the margin does not jump between neighbouring points."""
    part = subject.first(settings.num_examples)
    radius = _NOISE_SHARE * part.epsilon

    def step(params, images, labels, keys):
        logits_fn = part.logits_fn_of(params)

        def margin_near(index):
            drawn = jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
            noise = attacks.sample(drawn, images, part.attack.norm, radius)
            return attacks.margin(logits_fn(jnp.clip(images + noise, 0, 1)), labels)

        near = jax.lax.map(margin_near, jnp.arange(_NOISE_POINTS))
        return attacks.margin(logits_fn(images), labels), near.T

    margin, near = part.map(step)
    scale = np.maximum(np.abs(margin), np.median(np.abs(margin)) + 1e-12)
    change = np.minimum(np.abs(near - margin[:, None]) / scale[:, None], 1)
    mean = float(change.mean())
    return verdict(
        mean <= _MOST_UNSTABLE,
        f"Within a tenth of the budget the margin changes by {percent(mean)}.",
        f"Within a tenth of the budget the margin changes by {percent(mean)}: a "
        "gradient says nothing of the next step; attack an averaged classifier.",
        mean_relative_change=mean,
        points=_NOISE_POINTS,
    )


def silent_success(subject: Subject, settings: CheckSettings) -> Verdict:
    """C9: what an ascent meets on its way is not lost at its end."""
    part = subject.first(settings.num_examples)
    _, _, met = part.map(ascent(part, settings.path_steps))
    clean = right(part.clean_logits, part.examples.labels)
    lost = met.any(axis=1) & right(part.base.logits, part.examples.labels) & clean
    n = len(lost)
    return verdict(
        not too_many(int(lost.sum()), n, settings.tolerance),
        f"{part.attack_name} returns a success wherever a plain ascent meets one.",
        f"A plain ascent passes through successes on {int(lost.sum())} of {n} images "
        f"where {part.attack_name} returns none: it forgets what it finds.",
        lost=int(lost.sum()),
        n=n,
    )


def ascent(subject: Subject, num_steps: int) -> Callable:
    """Steepest ascent from the clean image, for `Subject.map`.

    Returns:
        Whether the gradient is zero, whether it is not finite, and whether the decision
        is wrong, at each point: `[batch, num_steps]` each.
    """
    norm, epsilon = subject.attack.norm, subject.epsilon

    def step(params, images, labels, keys):
        logits_fn = subject.logits_fn_of(params)

        def advance(current: Images, _):
            gradient = input_gradient(logits_fn, current, labels)
            length = 2.5 / num_steps * epsilon
            moved = current - images + length * attacks.steepest_ascent(gradient, norm)
            following = attacks.move(images, moved, norm, epsilon)
            broken = ~jnp.isfinite(gradient).all(axis=(1, 2, 3))
            wrong = attacks.misclassified(logits_fn(following), labels)
            return following, (_is_zero(gradient), broken, wrong)

        _, found = jax.lax.scan(advance, images, None, num_steps)
        return jax.tree.map(jnp.transpose, found)

    return step


def input_gradient(
    logits_fn: LogitsFn, images: Images, labels: Labels, loss: str = "margin"
) -> Images:
    """Gradient of a loss of `attacks.LOSSES` for each image."""
    return jax.grad(lambda x: jnp.sum(LOSSES[loss](logits_fn(x), labels)))(images)


def _slope_error(logits_fn, images, labels, gradient, signs, epsilon) -> Array:
    """Relative difference of the slopes along `signs`, 0 where both are zero."""
    reach = _DIFFERENCE * epsilon
    ahead, behind = (
        attacks.margin_loss(logits_fn(images + way * reach * signs), labels)
        for way in (1, -1)
    )
    measured = (ahead - behind) / (2 * reach)
    told = jnp.sum(jnp.nan_to_num(gradient) * signs, axis=(1, 2, 3))
    larger = jnp.maximum(jnp.abs(measured), jnp.abs(told))
    return jnp.abs(measured - told) / jnp.where(larger > 0, larger, 1)


def _cosine(one: Images, other: Images) -> Array:
    products = [
        jnp.sum(a * b, axis=(1, 2, 3))
        for a, b in ((one, other), (one, one), (other, other))
    ]
    length = jnp.sqrt(products[1] * products[2])
    return products[0] / jnp.where(length > 0, length, 1)


def _is_zero(gradient: Images) -> Array:
    return jnp.all(gradient == 0, axis=(1, 2, 3))


def _random_signs(keys, images: Images) -> Images:
    draw = jax.vmap(lambda key: jax.random.rademacher(key, (images[0].size,)))
    return draw(keys).reshape(images.shape).astype(images.dtype)

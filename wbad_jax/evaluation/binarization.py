"""C20: the binarization test of an attack (Zimmermann et al. 2022).

Around each image a new decision is made up that an adversarial perturbation is known to
change: random points of the ball on one side, one point of its surface on the other,
told apart by a linear classifier of the network's penultimate features. An attack that
does not find its way there cannot be trusted to say that there is none.

Reference:
    Zimmermann, Brendel, Tramer and Carlini (2022), Increasing confidence in adversarial
    robustness evaluations, arXiv 2206.13991, algorithm 1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax import attacks
from wbad_jax.evaluation.arm_record import percent
from wbad_jax.evaluation.check_results import Verdict, not_run, verdict
from wbad_jax.evaluation.intervals import wilson_interval
from wbad_jax.evaluation.subject import CheckSettings, Subject

# Inner points lie within this share of the budget.
_INNER = 0.95
LOWEST_SUCCESS = 0.95
_MOST_RANDOM = 0.5
_RANDOM_SAMPLES = 200


class Heads(NamedTuple):
    """One linear decision an image: `features @ weights + bias > 0` is the new class.

    Attributes:
        weights: `[n, features]`.
        bias: `[n]`.
        separable: Whether it tells inner points and surface point apart, `[n]`.
    """

    weights: np.ndarray
    bias: np.ndarray
    separable: np.ndarray


def binarization(subject: Subject, settings: CheckSettings) -> Verdict:
    """C20: the attack finds the adversarial point that each new decision has."""
    if not subject.features_of:
        return not_run("The network has no penultimate features to build on.")
    part = subject.first(settings.noise_examples)
    features = _features_near(part, settings.inner_points)
    scale = float(np.median(np.ptp(part.clean_logits, axis=-1))) or 1.0
    heads = fit_heads(features, scale)
    n = int(heads.separable.sum())
    if n == 0:
        return not_run("No image has points that its features tell apart.")
    part = part.take(heads.separable)
    weights, bias = heads.weights[heads.separable], heads.bias[heads.separable]
    success, random = part.map(_attack_heads(part), weights, bias)
    rate = float(success.mean())
    low, high = wilson_interval(int(success.sum()), n)
    evidence = {
        "success": rate, "ci_low": low, "ci_high": high, "n": n,
        "random_success": random.mean(), "inner_points": features.shape[1] - 1,
        "features": features.shape[-1], "not_separable": len(features) - n,
    }  # fmt: skip
    if random.mean() > _MOST_RANDOM:
        return not_run(
            f"The test is too easy: random points solve {percent(random.mean())}.",
            **evidence,
        )
    return verdict(
        rate >= LOWEST_SUCCESS,
        f"{part.attack_name} finds {percent(rate)} of {n} adversarial points that are "
        f"known to exist, random points {percent(random.mean())}.",
        f"{part.attack_name} finds {percent(rate)} of {n} adversarial points that are "
        "known to exist: where it fails on the classifier itself, that proves nothing.",
        **evidence,
    )


def fit_heads(features: np.ndarray, scale: float) -> Heads:
    """Linear classifiers of the last point of each image against the others.

    Args:
        features: `[n, points, features]`; the surface point is the last.
        scale: Typical logit gap of the classifier, to which their outputs are brought.

    Returns:
        Heads whose decision lies in the middle of the gap between surface and inner
        points.
    """
    fitted = [_fit_head(each.astype(np.float64), scale) for each in features]
    weights, bias, separable = map(np.array, zip(*fitted, strict=True))
    return Heads(weights.astype(np.float32), bias.astype(np.float32), separable)


def _fit_head(points: np.ndarray, scale: float) -> tuple[np.ndarray, float, bool]:
    from sklearn import linear_model  # here: slow to import

    mean, spread = points.mean(axis=0), points.std(axis=0)
    spread = np.where(spread > 1e-12, spread, np.inf)  # constant features drop out
    labels = np.arange(len(points)) == len(points) - 1
    # Nearly without penalty: they are to be separated perfectly.
    model = linear_model.LogisticRegression(
        C=1e5, solver="newton-cholesky", class_weight="balanced"
    )
    model.fit((points - mean) / spread, labels)
    weights = model.coef_[0] / spread
    score = points @ weights
    highest, surface = score[:-1].max(), score[-1]
    if not surface > highest:
        return np.zeros_like(weights), 0.0, False
    weights = weights * scale / (surface - highest)
    score = points @ weights
    return weights, -float(score[:-1].max() + score[-1]) / 2, True


def _features_near(part: Subject, most: int) -> np.ndarray:
    """Features of inner points, of the image itself, and of one surface point.

    No more points than half the features, or they could not be separated.
    """
    features_of = next(iter(part.features_of.values()))
    width = jax.eval_shape(
        lambda params, images: features_of(params)(images),
        part.params, part.examples.images[:1],
    ).shape[-1]  # fmt: skip
    inner = max(min(most, width // 2 - 1), 1)
    norm, epsilon = part.attack.norm, part.epsilon

    def step(params, images, labels, keys):
        features_fn = features_of(params)

        def near(index):
            drawn = _fold_in(keys, index)
            noise = attacks.sample(drawn, images, norm, _INNER * epsilon)
            return features_fn(jnp.clip(images + noise, 0, 1))

        inside = jax.lax.map(near, jnp.arange(inner))
        surface = attacks.move(
            images,
            _surface(_fold_in(keys, inner), images, norm, epsilon),
            norm,
            epsilon,
        )
        points = (inside, features_fn(images)[None], features_fn(surface)[None])
        return jnp.swapaxes(jnp.concatenate(points), 0, 1)

    return part.map(step)


def _surface(keys, images, norm: attacks.Norm, epsilon: float):
    """A random corner of the Linf ball, or a random point of the L2 sphere."""
    noise = attacks.sample(keys, images, norm, epsilon)
    return epsilon * jnp.sign(noise) if norm == "linf" else noise


def _attack_heads(part: Subject):
    """The subject's attack, and random points, on the new decisions."""
    norm, epsilon = part.attack.norm, part.epsilon
    tries = getattr(part.attack, "num_steps", 1) * getattr(part.attack, "restarts", 1)

    def step(params, images, labels, keys, weights, bias):
        def decide(features_fn, x):
            score = jnp.sum(features_fn(x) * weights, axis=-1) + bias
            return jnp.stack([-score / 2, score / 2], axis=-1)

        exact, *others = (
            functools.partial(decide, of(params)) for of in part.features_of.values()
        )
        inner = jnp.zeros_like(labels)
        names = list(part.features_of)[1:]
        result = part.attack(
            exact, keys, images, inner, epsilon=epsilon,
            surrogates=dict(zip(names, others, strict=True)) or None,
        )  # fmt: skip

        def solved(index):
            noise = attacks.sample(
                _fold_in(keys, 10_000 + index), images, norm, epsilon
            )
            return attacks.misclassified(exact(jnp.clip(images + noise, 0, 1)), inner)

        hits = jax.lax.map(solved, jnp.arange(_RANDOM_SAMPLES)).mean(axis=0)
        # With as many tries as the attack takes steps.
        return result.success, 1 - (1 - hits) ** tries

    return step


def _fold_in(keys, index):
    return jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)

"""Physics consistency as a detector of adversarial images, and an attack on it.

A picture is suspect if its score is far from 1 on either side, by |log score|: too
little noise is as impossible as too much.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import roc_auc_score

from experiments import cohort as experiment_cohort
from experiments import settings as experiment_settings
from experiments.run_folder import load_config
from experiments.train_arm import restore_arm
from wbad_jax import attacks
from wbad_jax.bioheat import cohort
from wbad_jax.bioheat.consistency import follow, suspicion
from wbad_jax.bioheat.inverse import Inverse

EPSILON_CELSIUS = 0.125
# Weights of the score in the loss of the attacker who knows it.
WEIGHTS = (0.0, 1.0, 10.0, 100.0)
STEPS = 60


def measure_detector(
    workdir: pathlib.Path, count: int, settings: cohort.CohortSettings
) -> dict:
    """Areas under the curve on `count` test patients whom the network gets right."""
    config = load_config(workdir)
    fold = experiment_cohort.make_folds(config, experiment_cohort.load(config))[0]
    arm = experiment_settings.build_arms(config, fold.test.images.shape[1:])[0]
    params = restore_arm(arm, workdir=workdir, run=fold.run_name(arm.name), earlier={})
    low, high = fold.test.window
    width, rows = high - low, []
    # Jitted once: parameters and the patient are arguments.
    pgd = jax.jit(_plain_attack(arm.classifier.logits_fn, EPSILON_CELSIUS / width))
    knowing = jax.jit(_knowing_attack(arm.classifier.logits_fn, low, width))
    for index in range(len(fold.test)):
        if len(rows) == count:
            break
        example = fold.test.subset(np.array([index]))
        image, label = jnp.asarray(example.images), jnp.asarray(example.labels)
        mask = jnp.asarray(example.masks, image.dtype)
        plain = pgd(params, image, label, mask)
        if not bool(plain.success[0]) or bool(
            attacks.misclassified(arm.classifier.logits_fn(params)(image), label)[0]
        ):
            continue
        seed = int(example.patient_seeds[0])
        inverse = Inverse(
            example.masks[0, ..., 0],
            cohort.draw_healthy(seed, settings)[0],
            float(example.background_celsius[0]),
            settings,
        )
        row = _scores(inverse, knowing, params, image, label, mask, plain, low, width)
        rows.append({"seed": seed, "label": int(label[0]), **row})
        print(rows[-1], flush=True)
    return _areas(rows)


def _scores(inverse, knowing, params, image, label, mask, plain, low, width) -> dict:
    """Scores of the image, its attack, and attacks that know the score."""

    def celsius_of(pixels):
        return low + width * np.asarray(pixels)[0, ..., 0]

    def refit(pixels):
        return suspicion(inverse, celsius_of(pixels))

    clean, fit = refit(image)
    row = {"clean": clean, "plain": refit(plain.adversarial)[0], "knowing": {}}
    followed = follow(inverse, celsius_of(image), fit)
    best, lowest = None, np.inf
    for weight in WEIGHTS:
        found, score = knowing(params, image, label, mask, followed, weight)
        row["knowing"][f"{weight:g}"] = float(score) if np.isfinite(score) else None
        if score < lowest:
            best, lowest = found, float(score)
    row["knowing_best"] = None if best is None else refit(best)[0]
    return row


def _plain_attack(logits_fn, epsilon):
    attack = attacks.PGD(norm="linf", num_steps=40)

    def run(params, image, label, mask):
        return attack(
            lambda pixels: logits_fn(params)(pixels),
            jax.random.key(0), image, label, epsilon=epsilon, mask=mask,
        )  # fmt: skip

    return run


def _knowing_attack(logits_fn, low, width):
    """PGD on the margin plus the score, keeping the lowest score that still fools.

    The score follows a refit of the patient to first order.
    """
    epsilon = EPSILON_CELSIUS / width

    def run(params, image, label, mask, followed, weight):
        def loss(pixels):
            margin = attacks.margin_loss(logits_fn(params)(pixels), label)[0]
            value = followed(low + width * pixels[0, ..., 0])
            return jnp.minimum(margin, 1.0) - weight * value, (margin, value)

        def step(index, carry):
            pixels, best, lowest = carry
            (_, (margin, value)), slope = jax.value_and_grad(loss, has_aux=True)(pixels)
            better = (margin > 0) & (value < lowest)
            best = jnp.where(better, pixels, best)
            lowest = jnp.where(better, value, lowest)
            length = 0.25 * epsilon * (1 - index / STEPS)
            moved = pixels + length * jnp.sign(slope) * mask
            moved = jnp.clip(moved, image - epsilon, image + epsilon)
            return jnp.clip(moved, 0.0, 1.0), best, lowest

        carry = (image, image, jnp.float32(jnp.inf))
        _, best, lowest = jax.lax.fori_loop(0, STEPS, step, carry)
        return best, lowest

    return run


def _areas(rows: list[dict]) -> dict:
    """Areas of clean against attacked, with 95 % intervals over patients."""
    clean = np.array([row["clean"] for row in rows])
    result = {
        "patients": len(rows),
        "epsilon_celsius": EPSILON_CELSIUS,
        "clean_median_score": float(np.median(clean)),
        "plain": _area(clean, [row["plain"] for row in rows]),
        "knowing": {},
    }
    for weight in rows[0]["knowing"]:
        attacked = [row["knowing"][weight] for row in rows]
        result["knowing"][weight] = _area(clean, attacked)
    # The attacker's own choice for each patient, after a refit.
    result["knowing_best"] = _area(clean, [row["knowing_best"] for row in rows])
    return {**result, "rows": rows}


def _area(clean: np.ndarray, attacked: list[float | None]) -> dict:
    kept = np.array([score for score in attacked if score is not None], float)
    if not kept.size:
        return {"fooled": 0}

    def area(a, b):
        return roc_auc_score(np.r_[np.zeros(len(a)), np.ones(len(b))], np.r_[a, b])

    rng = np.random.default_rng(0)
    draws = [
        area(rng.choice(clean, clean.size), rng.choice(kept, kept.size))
        for _ in range(1000)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "fooled": int(kept.size),
        "median_score": float(np.median(kept)),
        "auc": [float(area(clean, kept)), float(low), float(high)],
    }

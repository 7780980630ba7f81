"""Certificates of one smoothed classifier, and attacks on it that test them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import scipy

from configs.default import Config
from experiments.attack_settings import smoothed_attack
from experiments.config_errors import naming
from experiments.settings import Arm
from experiments.train_arm import stable_hash
from wbad_jax.evaluation import (
    Certificates,
    Examples,
    SmoothedEvaluator,
    above_pair_bound,
    certified_right,
    contradictory_twins,
    twin_rows,
    violations,
)
from wbad_jax.evaluation.smoothing_attack import EVERYWHERE
from wbad_jax.types import Key, Params

RIGHT, UNDECIDED, WRONG = 0, 1, 2
Arrays = Mapping[str, np.ndarray]
# Folded into the base key: samples of noise that share nothing.
CERTIFY, _ATTACK, _JUDGE, _CURVE = range(4)


def certify_arm(
    config: Config,
    arm: Arm,
    params: Params,
    examples: Examples,
    sigma: float,
    check: Callable[[], None],
) -> dict[str, np.ndarray]:
    """Certify all examples, then attack the smoothed classifier.

    Args:
        config: The experiment.
        arm: Classifier; its denoiser, if it has one, is part of what is smoothed.
        params: Its parameters.
        examples: The set.
        sigma: Standard deviation of the noise, pixel units.
        check: Called before each batch; may raise to end early.

    Returns:
        By image: `predicted`, `abstained`, `radius`; `violated`, whether an attack
        refuted the certificate; `attacked`, `[radii, n]`, what was left at each radius
        (RIGHT, UNDECIDED or WRONG); `contradictory`, whether its certificate and that
        of its twin cannot both hold; by radius: `above_bound`, whether more is
        certified on pairs than any classifier reaches.
    """
    values = config.certificates
    evaluator = SmoothedEvaluator(
        arm.evaluated.logits_fn,
        batch_size=min(values.batch_size, len(examples.labels)),
        noise_batch=values.noise_batch,
        before_batch=check,
    )
    run = _Run(config, evaluator, params, examples, sigma, f"{arm.name} {sigma:g}")
    found = run.certify()
    rows = (~found.abstained).nonzero()[0]
    violated = np.zeros(len(examples.labels), bool)
    violated[rows] = run.refute(found, rows)
    return {
        "predicted": found.predicted,
        "abstained": found.abstained,
        "radius": found.radius,
        "violated": violated,
        "attacked": run.attack_curve(),
        **_cross_examine(found, examples, values.radii),
    }


def _cross_examine(found: Certificates, examples: Examples, radii) -> Arrays:
    """What needs no attack: twins, and the bound of all classifiers on them."""
    healthy, tumour = twin_rows(examples.patient_ids, examples.labels)
    contradictory = np.zeros(len(examples.labels), bool)
    above = np.zeros(len(radii), bool)
    if len(healthy):
        difference = examples.images[tumour] - examples.images[healthy]
        apart = np.linalg.norm(difference.reshape(len(healthy), -1), axis=1)
        contradictory[healthy] = contradictory_twins(
            subset_certificates(found, healthy),
            subset_certificates(found, tumour),
            apart,
        )
        right = certified_right(found, examples.labels, radii)
        above = above_pair_bound(right, radii, examples.images, healthy, tumour)
    return {"contradictory": contradictory, "above_bound": above}


class _Run:
    """What certification and attacks of one classifier at one sigma share."""

    def __init__(self, config, evaluator, params, examples, sigma, description):
        self._values = config.certificates
        self._attack = smoothed_attack(config)
        self._evaluator = evaluator
        self._params = params
        self._examples = examples
        self._sigma = sigma
        self._description = description
        self._nearest = _nearest_of_another_class(examples)
        self._key = base_key(config)

    def certify(self) -> Certificates:
        values = self._values
        return naming("certificates")(
            self._evaluator.certify, self._params, self._examples,
            jax.random.fold_in(self._key, CERTIFY), self._sigma,
            num_selection=values.num_selection, num_samples=values.num_samples,
            alpha=values.alpha, description=f"{self._description} certify",
        )  # fmt: skip

    def refute(self, found: Certificates, rows: np.ndarray) -> np.ndarray:
        """Which of the certificates an attack within their radii refutes."""
        if not len(rows):
            return np.zeros(0, bool)
        found = subset_certificates(found, rows)
        part = self._examples.subset(rows)
        targets = dataclasses.replace(part, labels=found.predicted.astype(np.int32))
        points = self._climb(
            targets, found.radius, self._nearest[None, rows], _ATTACK,
            bounds=EVERYWHERE, told="within certificates",
        )  # fmt: skip
        decided = self._decide(part, points, _JUDGE, self._values.judge_alpha)
        return violations(found, decided)

    def attack_curve(self) -> np.ndarray:
        """What is left at each radius; what is wrong at one stays so further out."""
        examples = self._examples
        status = np.full(len(examples.labels), RIGHT)
        points, curve = examples.images.copy(), []
        for index, radius in enumerate(self._values.radii):
            rows = (status != WRONG).nonzero()[0]
            if len(rows):
                stage = _CURVE + 2 * index
                part = examples.subset(rows)
                if radius > 0:
                    starts = np.stack([self._nearest[rows], points[rows]])
                    points[rows] = self._climb(
                        part, radius, starts, stage, told=f"at {radius:g}"
                    )
                decided = self._decide(
                    part, points[rows], stage + 1, self._values.predict_alpha
                )
                wrong = decided.predicted != part.labels
                now = np.where(wrong, WRONG, RIGHT)
                now[decided.abstained] = UNDECIDED
                status[rows] = np.maximum(status[rows], now)
            curve.append(status.copy())
        return np.array(curve)

    def _climb(self, part, radii, starts, stage: int, *, told: str, **more):
        return self._evaluator.attack(
            self._attack, self._params, part, jax.random.fold_in(self._key, stage),
            self._sigma, radii, num_samples=self._values.attack_samples, starts=starts,
            description=f"{self._description} {told}", **more,
        )  # fmt: skip

    def _decide(self, part, images, stage: int, alpha: float):
        return self._evaluator.predict(
            self._params, part, jax.random.fold_in(self._key, stage), self._sigma,
            num_samples=self._values.judge_samples, alpha=alpha, images=images,
            description=f"{self._description} judge",
        )  # fmt: skip


def base_key(config: Config) -> Key:
    """Of all noise: the same in all arms."""
    return jax.random.fold_in(jax.random.key(config.seed), stable_hash("certificates"))


def subset_certificates(found: Certificates, rows: np.ndarray) -> Certificates:
    """The certificates of some of the examples."""
    names = "predicted", "abstained", "radius", "votes"
    arrays: dict[str, Any] = {name: getattr(found, name)[rows] for name in names}
    return dataclasses.replace(found, **arrays)


def _nearest_of_another_class(examples: Examples) -> np.ndarray:
    """For each image the nearest one of another label: its twin, where it has one."""
    flat = examples.images.reshape(len(examples.labels), -1)
    apart = scipy.spatial.distance.cdist(flat, flat)
    apart[examples.labels[:, None] == examples.labels] = np.inf
    return examples.images[np.argmin(apart, axis=1)]

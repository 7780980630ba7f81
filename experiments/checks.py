"""The checks of an evaluation on every arm, and their file `checks.json`."""

import functools
import hashlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from configs.default import Config
from experiments import attack_settings
from experiments.cohort import Fold, examples_of
from experiments.config_errors import ConfigError, build
from experiments.evaluation_parts import Parts, identify
from experiments.graybox import SURROGATE_ARM, Trained
from experiments.settings import Arm
from experiments.stopping import StopRequest
from experiments.train_arm import stable_hash
from experiments.white_box import backward_modes
from experiments.whole_files import read_json, write_json
from wbad_jax import attacks, evaluation
from wbad_jax.evaluation import (
    ArmRecord,
    CheckResult,
    CheckSettings,
    Outcome,
    Subject,
    Verdict,
)
from wbad_jax.types import Params

FILE = "checks.json"
# The attack whose convergence and gradients are checked: the first that is there.
_LEADING = ("pgd", "apgd", "mim", "bim")
_NOT_ASKED = "Runs with --config.evaluation.checks=full."


def check_run(
    config: Config,
    folds: list[Fold],
    trained: list[Trained],
    outcomes: list[Outcome],
    rows: list[evaluation.Row],
    workdir: pathlib.Path,
    stop: StopRequest | None = None,
) -> list[CheckResult]:
    """Run the checks that the config asks for, and write `checks.json`.

    Args:
        config: The experiment.
        folds: Divisions of the patients.
        trained: Arms and parameters of each fold.
        outcomes: Pooled over folds, without worst cases.
        rows: Of `results.json`.
        workdir: Where to write. Finished checks that took time are kept there until
            all are done.
        stop: Heeded before each batch.

    Returns:
        All results; none if the config wants no checks.

    Raises:
        StopRequestedError: If `stop` says so.
    """
    mode = config.evaluation.checks or "outcomes"
    if mode == "none":
        (workdir / FILE).unlink(missing_ok=True)
        return []
    start = time.perf_counter()
    records = _records(config, folds, outcomes, rows)
    verdicts = {
        name: list(evaluation.check_record(record).items())
        for name, record in records.items()
    }
    shared = [pair for found in verdicts.values() for pair in found if pair[0] == "C1"]
    reason = _NOT_ASKED
    if mode == "full" and jax.process_count() > 1:
        reason = "Runs in one process only."
    elif mode == "full":
        reason = "Not for this arm."
        parts = Parts(workdir, config, "checks")
        shared.append(("C19", _self_test(config, folds, parts)))
        subjects = _subjects(config, folds, trained, records, stop or StopRequest())
        settings = build(
            CheckSettings, "evaluation.check_sizes", config.evaluation.check_sizes
        )
        for name, subject, identity in subjects:
            verdicts[name] += _compute(name, subject, settings, parts, identity)
        parts.remove()
    results = evaluation.collect(None, shared, reason=reason)
    for name, found in verdicts.items():
        results += evaluation.collect(name, found, reason=reason)
    meta = {
        "mode": mode,
        "sizes": config.evaluation.check_sizes.to_dict(),
        "seconds": time.perf_counter() - start,
        "num_failed": sum(result.status == "fail" for result in results),
    }
    value = {"meta": meta, "checks": evaluation.to_records(results)}
    write_json(value, workdir / FILE)
    return results


def demand_checks(config: Config) -> None:
    """Ask for all checks where the config does not say which.

    Raises:
        ConfigError: If it wants none.
    """
    if config.evaluation.checks is None:
        config.evaluation.checks = "full"
    if config.evaluation.checks == "none":
        raise ConfigError("evaluation.checks must not be 'none' with --strict.")


def has_failures(workdir: pathlib.Path) -> bool:
    """Whether a check of the run failed."""
    checks = read_json(workdir / FILE)["checks"]
    return any(check["status"] == "fail" for check in checks)


def trained_on(config: Config, arm: str) -> tuple[str, ...]:
    """Names of the attacks that made training examples of an arm."""
    objective = config.arm[arm].objective
    if objective == "wbad":
        mix = config.training.mix.to_dict()
        return tuple(n for n, weight in mix.items() if weight and n != "clean")
    return {"standard": (), "fast": ("fgsm", "fgsm_rs")}.get(objective, ("pgd",))


def _records(config, folds: list[Fold], outcomes, rows) -> dict[str, ArmRecord]:
    """What was recorded of each arm of the config; baselines are not attacked."""
    sets = {outcome.condition.set for outcome in outcomes}
    num_examples = {name: sum(len(getattr(f, name)) for f in folds) for name in sets}
    bounds = {
        (row["norm"], row["epsilon"]): row["ceiling"]
        for row in rows
        if row["set"] == "test_pairs" and row["ceiling"] is not None
    }
    record = functools.partial(
        ArmRecord,
        num_examples=num_examples,
        threat_model=_threat_model(config, folds[0], outcomes),
        pair_bounds=bounds,
    )

    def of(arm: str, **more: Any) -> ArmRecord:
        return record(
            arm=arm,
            outcomes=[o for o in outcomes if o.condition.arm == arm],
            rows=[row for row in rows if row["arm"] == arm],
            trained_on=trained_on(config, arm),
            **more,
        )

    undefended = of(SURROGATE_ARM) if SURROGATE_ARM in config.arms else None
    return {arm: of(arm, undefended=undefended) for arm in config.arms}


def _threat_model(config, fold: Fold, outcomes) -> dict[str, Any]:
    low, high = fold.test.window
    norms = {a.norm for a in attack_settings.evaluation_attacks(config).values()}
    # An evaluation may have its curve alone, whose attacks are not among those.
    norms |= {outcome.condition.norm for outcome in outcomes} - {None}
    return {
        "norms": sorted(norms),
        "epsilon": {norm: size for norm, size in fold.budgets.items() if norm in norms},
        "epsilon_celsius": fold.budgets["linf"] * (high - low),
        "epsilon_multiples": list(config.evaluation.epsilon_multiples),
        "bounds": [0.0, 1.0],
        "knowledge": list(config.evaluation.protocols),
        "goal": "any wrong class (untargeted)",
    }


def _self_test(config, folds: list[Fold], parts: Parts) -> Verdict:
    shape = folds[0].test.images.shape[1:]
    wanted = attack_settings.evaluation_attacks(config)

    def run() -> dict[str, Any]:
        key = jax.random.key(config.seed)
        return evaluation.attack_self_test(wanted, shape, key)._asdict()

    return Verdict(**parts.record("C19", {"shape": list(shape)}, run))


def _subjects(
    config, folds, trained, records, stop: StopRequest
) -> Iterator[tuple[str, Subject, dict[str, Any]]]:
    """Every arm of every fold that the checks can compute on."""
    wanted = attack_settings.evaluation_attacks(config)
    leading = next((name for name in _LEADING if name in wanted), None)
    if leading is None:
        return
    for fold, arms in zip(folds, trained, strict=True):
        for name, (arm, params) in arms.items():
            subject = _subject(
                config, fold, arm, params, records[name], leading, wanted[leading], stop
            )
            if subject is not None:
                told = hashlib.sha256(subject.withstood.tobytes()).hexdigest()
                identity = identify(arm, params, subject.examples)
                yield name, subject, {**identity, "fold": fold.name, "withstood": told}


def _subject(
    config, fold: Fold, arm: Arm, params: Params, record: ArmRecord, name: str, attack,
    stop: StopRequest,
) -> Subject | None:  # fmt: skip
    """One arm on the test set; None if it was not attacked there at full budget."""
    examples, epsilon = examples_of(fold.test), fold.budgets[attack.norm]
    group = next(
        (
            group
            for group in record.groups()
            if (group.set, group.norm) == ("test", attack.norm)
            and np.isclose(group.epsilon, epsilon)
            and name in group.adaptive
        ),
        None,
    )
    if group is None:
        return None
    row_of = {example: row for row, example in enumerate(group.clean.example_ids)}
    own = np.array([row_of[example] for example in examples.example_ids])
    right = [o.correct for o in (group.clean, *group.adaptive.values())]
    key = jax.random.key(config.seed)
    return Subject(
        arm=fold.run_name(arm.name),
        logits_fn_of=arm.evaluated.logits_fn,
        params=params,
        examples=examples,
        attack_name=name,
        attack=attack,
        epsilon=epsilon,
        key=jax.random.fold_in(key, stable_hash("evaluation")),
        withstood=np.all(right, axis=0)[own],
        attacked_logits=group.adaptive[name].logits[own],
        surrogates_of=backward_modes(arm, config.evaluation.backward_modes),
        features_of=_features_of(arm, config.evaluation.backward_modes),
        ablations_of=_without_denoiser(arm),
        dead_but_reachable=_dead_but_reachable(arm, params, examples.images, epsilon),
        before_batch=functools.partial(stop.check, "Stopped in the checks."),
    )


def _compute(
    name: str, subject: Subject, settings: CheckSettings, parts: Parts, identity
) -> Iterator[tuple[str, Verdict]]:
    """Verdicts of the checks that compute, each kept as soon as it is there."""
    with tqdm(evaluation.SUBJECT_CHECKS.items(), leave=False) as bar:
        for check, function in bar:
            bar.set_description(f"{subject.arm} {check}")
            make = lambda f=function: f(subject, settings)._asdict()  # noqa: E731
            kept = parts.record(f"{subject.arm}-{check}", identity, make)
            yield check, Verdict(**kept)


def _features_of(arm: Arm, modes):
    if not arm.evaluated.has_features:
        return {}
    names = ("exact", *modes) if arm.evaluated.denoiser is not None else ("exact",)
    return {
        mode: functools.partial(arm.evaluated.features_fn, backward=mode)
        for mode in names
    }


def _without_denoiser(arm: Arm):
    if arm.evaluated.denoiser is None:
        return {}
    return {"without the denoiser": arm.evaluated.undenoised_logits_fn}


def _dead_but_reachable(arm: Arm, params: Params, images, epsilon) -> float | None:
    """Share of all detail coefficients that are removed, but could be lifted."""
    denoiser = arm.evaluated.denoiser
    if denoiser is None or denoiser.stationary:
        return None

    @jax.jit
    def shares(params, images):
        thresholds = arm.evaluated.pixel_thresholds(params, images)
        return attacks.dead_but_reachable(
            images, thresholds, epsilon, denoiser.wavelet, denoiser.level,
            mode=denoiser.mode,
        )  # fmt: skip

    # Coarsest level first; each finer one has four times the coefficients.
    by_level = np.asarray(shares(params, images)).mean(axis=(0, 2))
    return float(np.average(by_level, weights=4.0 ** np.arange(len(by_level))))

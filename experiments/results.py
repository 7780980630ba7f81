"""The results of a run: pooled folds, files, and the table on the terminal."""

import pathlib
from typing import Any

from configs.default import Config
from experiments.checks import check_run
from experiments.cohort import Fold
from experiments.evaluation_record import evaluation_meta, read_bracket
from experiments.graybox import Trained
from experiments.looks import read_looks
from experiments.pair_ceilings import pair_bound_violations, pair_ceilings
from experiments.run_folder import overrides, provenance
from experiments.settings import evaluation_dtype
from experiments.stopping import StopRequest
from experiments.train_arm import parameters_sha256
from wbad_jax import evaluation
from wbad_jax.data import PIXEL_UNITS
from wbad_jax.evaluation import Condition, Outcome
from wbad_jax.models import num_parameters


def summarise(
    config: Config,
    folds: list[Fold],
    trained: list[Trained],
    outcomes: list[Outcome],
    workdir: pathlib.Path,
    stop: StopRequest | None = None,
) -> list[evaluation.Row]:
    """Pool folds, write all results files and print the table.

    Args:
        config: The experiment.
        folds: Divisions of the patients.
        trained: Arms and parameters of each fold.
        outcomes: Of all folds.
        workdir: Where to write.
        stop: Heeded in the checks that compute.

    Returns:
        The rows of `results.json`.
    """
    pooled = evaluation.pool(outcomes)
    evaluation.write_parquet(pooled, workdir / "predictions.parquet")
    window = folds[0].test.window
    complete = evaluation.add_worst_cases(pooled)
    rows = evaluation.make_rows(complete, window, pair_ceilings(folds, complete))
    violations = pair_bound_violations(rows)
    meta = _meta(config, folds, trained)
    meta |= evaluation_meta(config, folds, trained, workdir)
    meta |= {
        # Without them these rows would not come out again.
        "overrides": overrides(config, workdir),
        "test_looks": len(read_looks(workdir)),
        "pair_bound_violations": violations,
    }
    comparisons = _comparisons(config, complete, meta)
    bracket = read_bracket(config, folds)
    # Before `results.json`: a run that has it is finished.
    checks = check_run(config, folds, trained, pooled, rows, workdir, stop)
    evaluation.write_results(workdir, meta, rows, comparisons, bracket)
    print(evaluation.format_table(rows))
    for sentence in evaluation.explain(rows, epsilon=meta["headline_epsilon"]):
        print(sentence)
    for found in violations:
        accuracy, ceiling = (100 * found[name] for name in ("accuracy", "ceiling"))
        print(
            f"FAILED CHECK: {found['arm']} has {accuracy:.1f} % under the "
            f"{found['norm']} worst case at {found['epsilon']:.5f}, but no classifier "
            f"can exceed {ceiling:.1f} %: an attack is too weak, or labels leak."
        )
    low, high = window
    celsius = meta["headline_epsilon_celsius"]
    degrees = "of images without temperatures"
    if celsius is not None:
        degrees = f"= {celsius:.3f} °C of a window of {low:g}..{high:g} °C"
    print(
        f"epsilon {meta['headline_epsilon']:.5f} {degrees}; "
        f"L2 {meta['headline_epsilon_l2']:.4f}. Graybox images from "
        f"{meta['surrogate']}.\nLooks at the test set with this run: "
        f"{meta['test_looks']}.\n"
        f"Results in {workdir}. Research only: no diagnostic use."
    )
    if checks:
        print(evaluation.format_failures(checks))
    return rows


def _comparisons(config: Config, outcomes, meta) -> list[dict[str, Any]]:
    """All arms against the reference on the first set.

    The primary comparison is that of the last arm, under the adaptive Linf worst case
    at the headline epsilon.
    """
    first = config.evaluation.sets[0]
    primary = Condition(
        arm=config.arms[-1], set=first, protocol="adaptive", attack="worst_case",
        norm="linf", epsilon=meta["headline_epsilon"], seed=config.seed,
    )  # fmt: skip
    compared = [
        outcome
        for outcome in outcomes
        if outcome.condition.set == first and outcome.condition.arm in config.arms
    ]
    reference = config.evaluation.reference_arm or config.arms[0]
    return evaluation.compare_arms(compared, reference, primary)


def _meta(config, folds: list[Fold], trained: list[Trained]) -> dict[str, Any]:
    test, budgets = folds[0].test, folds[0].budgets
    celsius = None
    if test.window != PIXEL_UNITS:
        celsius = budgets["linf"] * (test.window[1] - test.window[0])
    digests = {
        fold.run_name(name): parameters_sha256(params)
        for fold, arms in zip(folds, trained, strict=True)
        for name, (_, params) in arms.items()
    }
    return {
        "name": config.name,
        "headline_epsilon": budgets["linf"],
        "headline_epsilon_celsius": celsius,
        "headline_epsilon_l2": budgets["l2"],
        "window_celsius": list(test.window),
        "data": {"name": test.name, "version": test.version},
        "split": config.data.split,
        "patients_leak": config.data.split == "image",
        "num_examples": {
            part: [len(getattr(fold, part)) for fold in folds]
            for part in ("train", "validation", "test")
        },
        "num_parameters": {
            name: num_parameters(params) for name, (_, params) in trained[0].items()
        },
        "parameters_sha256": digests,
        "compute_dtype": {
            "training": config.training.compute_dtype,
            "evaluation": evaluation_dtype(config),
        },
        "not_a_diagnostic_device": True,
        **provenance(config),
    }

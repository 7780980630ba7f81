"""The results of a run: pooled folds, files, and the table on the terminal."""

import pathlib
from typing import Any

from configs.default import Config
from experiments.checks import check_run
from experiments.cohort import Fold
from experiments.evaluate_arms import SURROGATE_ARM, Trained
from experiments.run_folder import provenance
from experiments.settings import evaluation_dtype
from experiments.stopping import StopRequest
from experiments.train_arm import parameters_sha256
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome
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
    rows = [
        evaluation.make_row(outcome, window)
        for outcome in evaluation.add_worst_cases(pooled)
    ]
    meta = _meta(config, folds, trained)
    # Before `results.json`: a run that has it is finished.
    checks = check_run(config, folds, trained, pooled, rows, workdir, stop)
    evaluation.write_results(workdir, meta, rows)
    print(evaluation.format_table(rows))
    low, high = window
    print(
        f"epsilon {meta['headline_epsilon']:.5f} = "
        f"{meta['headline_epsilon_celsius']:.3f} °C of a window of {low:g}..{high:g} "
        f"°C; L2 {meta['headline_epsilon_l2']:.4f}. Graybox images from "
        f"{meta['surrogate']}.\nResults in {workdir}. Research only: no diagnostic use."
    )
    if checks:
        print(evaluation.format_failures(checks))
    return rows


def _meta(config, folds: list[Fold], trained: list[Trained]) -> dict[str, Any]:
    test, budgets = folds[0].test, folds[0].budgets
    digests = {
        fold.run_name(name): parameters_sha256(params)
        for fold, arms in zip(folds, trained, strict=True)
        for name, (_, params) in arms.items()
    }
    return {
        "name": config.name,
        "headline_epsilon": budgets["linf"],
        "headline_epsilon_celsius": budgets["linf"] * (test.window[1] - test.window[0]),
        "headline_epsilon_l2": budgets["l2"],
        "window_celsius": list(test.window),
        "data": {"name": test.name, "version": test.version},
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
        "surrogate": config.evaluation.surrogate
        or f"arm {SURROGATE_ARM!r} of this run",
        "not_a_diagnostic_device": True,
        **provenance(config),
    }

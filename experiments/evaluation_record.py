"""What the results file says of an evaluation beside its rows."""

import math
import pathlib
from typing import Any

from configs.default import Config
from experiments.attack_settings import surrogate_workdirs
from experiments.attack_suite import skipped_attacks
from experiments.cohort import Fold, examples_of
from experiments.config_errors import ConfigError
from experiments.graybox import SURROGATE_ARM, Trained, read_records
from experiments.whole_files import read_json

# Radii of a bracket and of an evaluation that mean the same one.
_RELATIVE = 1e-6


def evaluation_meta(
    config: Config, folds: list[Fold], trained: list[Trained], workdir: pathlib.Path
) -> dict[str, Any]:
    """The suite, what of it did not apply and why, and who made the graybox images."""
    twins = examples_of(folds[0].test, folds[0].test_pairs).twins is not None
    skipped = {
        name: skipped_attacks(config, arm, twins=twins)
        for name, (arm, _) in trained[0].items()
    }
    others = ", ".join(surrogate_workdirs(config))
    return {
        "suite": config.evaluation.suite,
        "skipped_attacks": {name: why for name, why in skipped.items() if why},
        "surrogate": others or f"arm {SURROGATE_ARM!r} of this run",
        "graybox": [
            {"fold": fold.name, **record}
            for fold in folds
            for record in read_records(workdir / fold.name)
        ],
    }


def read_bracket(config: Config, folds: list[Fold]) -> list[dict[str, Any]] | None:
    """What classifiers can reach on this cohort, by norm and radius.

    Args:
        config: `evaluation.bracket` names a file of `experiments.ceiling`.
        folds: Data and radii of the evaluation.

    Returns:
        A record for each norm and radius of the file; None where none is named.

    Raises:
        ConfigError: If the file is of another cohort or version, or has the norm but
            not the radius of an evaluation.
    """
    if not config.evaluation.bracket:
        return None
    path = pathlib.Path(config.evaluation.bracket)
    try:
        file = read_json(path)
        records = [_bracket_record(row) for row in file["rows"]]
        there = {"cohort": file["cohort"], "version": file["version"]}
    except (OSError, ConfigError, KeyError, TypeError) as error:
        raise ConfigError(
            f"evaluation.bracket must be a file of experiments.ceiling, but {path} "
            f"cannot be read as one: {type(error).__name__} {error}."
        ) from error
    data = folds[0].test
    for field, here in (("cohort", data.name), ("version", data.version)):
        if there[field] != here:
            raise ConfigError(
                f"evaluation.bracket must be of the {field} evaluated, {here!r}, but "
                f"{path} is of {there[field]!r}."
            )
    for norm, budget in folds[0].budgets.items():
        _check_radii(config, path, norm, budget, records)
    return records


def _bracket_record(row: dict[str, Any]) -> dict[str, Any]:
    informed, scanning = row["informed"], row["scanning"]
    record = {
        "epsilon": row["epsilon"],
        "pair_bound": row["pair_bound"]["accuracy"],
        "ceiling": informed["ceiling"],
        "ceiling_low": informed["ci_low"],
        "ceiling_high": informed["ci_high"],
        "certified": scanning["accuracy"],
        "certified_low": scanning["ci_low"],
        "certified_high": scanning["ci_high"],
    }
    for name, value in record.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise TypeError(f"{name} must be a finite number, got {value!r}")
    if row["norm"] not in ("linf", "l2"):
        raise TypeError(f"norm must be linf or l2, got {row['norm']!r}")
    return {"norm": row["norm"], **record}


def _check_radii(config: Config, path, norm: str, budget: float, records) -> None:
    known = [record["epsilon"] for record in records if record["norm"] == norm]
    values = config.evaluation
    for multiple in (*values.epsilon_multiples, *values.curve_multiples):
        epsilon = budget * multiple
        if known and not any(
            math.isclose(epsilon, k, rel_tol=_RELATIVE) for k in known
        ):
            raise ConfigError(
                f"evaluation.bracket must have every radius evaluated, but {path} has "
                f"no {norm} row at {epsilon:.6g} ({epsilon * 255:.4g}/255); it has "
                f"{', '.join(f'{k:.6g}' for k in known)}."
            )

"""The part of a run's results that goes into a release."""

from collections.abc import Sequence
from typing import Any

from experiments.config_errors import ConfigError

# Entries of results["meta"] that have one value an arm.
_BY_ARM = ("num_parameters", "parameters_sha256", "skipped_attacks")


def of_arms(results: dict[str, Any], arms: Sequence[str]) -> dict[str, Any]:
    """Results of some arms alone."""

    def own(rows):
        names = [{row["arm"], row.get("reference", row["arm"])} for row in rows]
        return [r for r, n in zip(rows, names, strict=True) if n <= {*arms}]

    def of_each(values):
        return {name: values[name] for name in arms if name in values}

    meta = results["meta"]
    by_arm = {name: of_each(meta[name]) for name in _BY_ARM if name in meta}
    rows = {name: own(results[name]) for name in ("rows", "comparisons")}
    return {**results, **rows, "meta": {**meta, **by_arm}}


def with_surrogates(results: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Results in which the surrogates have other names; none changes nothing.

    Raises:
        ConfigError: If there are not as many as in the results.
    """
    if not names:
        return results
    meta = results["meta"]
    before = list(dict.fromkeys(each["surrogate"] for each in meta["graybox"]))
    if len(before) != len(names):
        raise ConfigError(
            f"--surrogates must name {len(before)} folders, for {before}; got "
            f"{[*names]}."
        )
    new = dict(zip(before, names, strict=True))

    def renamed(rows):
        return [
            {**row, "surrogate": new.get(row["surrogate"], row["surrogate"])}
            for row in rows
        ]

    rows = {name: renamed(results[name]) for name in ("rows", "comparisons")}
    told = {"surrogate": ", ".join(names), "graybox": renamed(meta["graybox"])}
    return {**results, **rows, "meta": {**meta, **told}}

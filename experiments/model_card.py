"""The page that goes with released parameters: what they are, and are not, good for."""

from collections.abc import Mapping, Sequence
from typing import Any

_WORDS = """\
# {name}

Parameters of {arms}, trained by `{command}` of wbad_jax {version}, commit {commit}.

> Research software only. **Not a diagnostic device.** Trained on {data}.
> Thermography is no substitute for mammography.

## What it takes and gives

Images of {shape} pixels, {low:g} to {high:g} °C mapped to [0, 1], everything outside
the body set to the middle; logits of "healthy" and "tumour". Threat model: Linf,
epsilon = {epsilon:.6g}{celsius}; L2, {epsilon_l2:.6g}.

## What was measured

{examples} test patients, none of whom was trained on. Accuracy in % [95 % interval].
*Graybox*: perturbations made on an undefended network. *Adaptive*: on the whole
classifier, the worst of {attacks}, for each image. The second number is the one to
quote; a stronger attack may lower it.

{rows}

`results.json` has all rows, with sensitivity, specificity and calibration. To make them
again:

    cp -r checkpoints/{folder} runs/{folder}
    python -m experiments.evaluate --workdir=runs/{folder}

## Parameters

{digests}
"""


def model_card(
    record: Mapping[str, Any], results: Mapping[str, Any], folder: str
) -> str:
    """The page as Markdown.

    Args:
        record: `config.json` of the run.
        results: `results.json` of it.
        folder: Name of the folder that it goes into.
    """
    meta, config = results["meta"], record["config"]
    celsius = meta["headline_epsilon_celsius"]
    low, high = meta["window_celsius"]
    return _WORDS.format(
        name=folder,
        folder=folder,
        arms=", ".join(f"`{arm}`" for arm in config["arms"]),
        command=record["command"],
        version=record["versions"]["wbad_jax"],
        commit=record["commit"],
        data=_data(config["data"]["builder"], meta["data"]["version"]),
        shape=" x ".join(map(str, record["image_shape"])),
        low=low,
        high=high,
        epsilon=meta["headline_epsilon"],
        celsius="" if celsius is None else f" ({celsius:g} °C)",
        epsilon_l2=meta["headline_epsilon_l2"],
        examples=sum(meta["num_examples"]["test"]),
        attacks=", ".join(_attacks(results["rows"])),
        rows=_table(results["rows"]),
        digests="\n".join(
            f"- `{arm}`: {meta['num_parameters'][arm]:,} numbers, sha256 `{digest}`"
            for arm, digest in meta["parameters_sha256"].items()
        ),
    )


def _data(builder: str, version: str) -> str:
    name = f"`{builder}` {version}"
    if not builder.startswith("simulated"):
        return name
    return f"simulated patients, {name}:\n> nothing is known about real ones"


def _attacks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [r["attack"] for r in rows if r["protocol"] == "adaptive"]
    return [name for name in dict.fromkeys(names) if name != "worst_case"]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Clean accuracy and worst cases at each radius, a line each."""
    lines = ["| arm | protocol | norm | epsilon | accuracy |", "|---|---|---|---|---|"]
    for row in rows:
        if row["set"] == "test" and row["attack"] in ("none", "worst_case"):
            percent = [100 * row[name] for name in ("accuracy", "ci_low", "ci_high")]
            interval = "{:.1f} [{:.1f}, {:.1f}]".format(*percent)
            cells = row["arm"], row["protocol"], row["norm"] or "", _radius(row)
            lines.append(f"| {' | '.join(cells)} | {interval} |")
    return "\n".join(lines)


def _radius(row: Mapping[str, Any]) -> str:
    if row["epsilon"] is None:
        return ""
    celsius = row["epsilon_celsius"]
    return f"{row['epsilon']:.4g}" if celsius is None else f"{celsius:.4g} °C"

r"""Ask whether results on a data set can mean what they seem to.

    python -m experiments.audit --config=configs/quickstart.py
    python -m experiments.audit --config=configs/dmr_ir.py \
        --config.data.manual_dir=FOLDER --output=runs/audit_dmr_ir --strict

The data set is loaded and split as training would. Copies of images, patients in two
parts, labels that can be told from the room, the camera or a file, values out of range,
labels that contradict each other: `docs/audit.md` says what each finding means. The
folder then holds `audit.json` and `audit.html`, a page that needs no network.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any

import numpy as np
from absl import flags

from configs.default import Config
from experiments import cohort
from experiments.audit_page import make_page
from experiments.cohort import Fold
from experiments.command_line import FAILED, define_config, required, run_command
from experiments.config_checks import check_values
from experiments.whole_files import write_json, write_text
from wbad_jax import data
from wbad_jax.data import Dataset, Finding

_PARTS = ("train", "validation", "test")


def audit(config: Config, output: pathlib.Path) -> list[Finding]:
    """Audit the data set of a config, write the files and print a summary.

    Args:
        config: The experiment.
        output: Folder to write to.

    Returns:
        The findings.

    Raises:
        ConfigError: If the config cannot work.
        DataError: If the data set cannot be read or split as asked.
    """
    check_values(config)
    dataset = cohort.load(config)
    folds = cohort.make_folds(config, dataset)
    findings, meta = ask(config, dataset, folds, quick=False)
    output.mkdir(parents=True, exist_ok=True)
    write_json(_record(findings, meta), output / "audit.json")
    page = make_page(findings, meta, data.names_apart(dataset))
    write_text(page, output / "audit.html")
    for finding in findings:
        print(f"{finding.status.upper():<8} {finding.title}: {finding.sentence}")
    print(
        f"{_summary(findings)} Files are in {output}. Research only: no diagnostic use."
    )
    return findings


def audit_before_training(
    config: Config, dataset: Dataset, folds: list[Fold], workdir: pathlib.Path
) -> None:
    """Ask the cheap questions, write `audit.json`, and warn loudly of what fails.

    Args:
        config: The experiment; nothing is done unless `data.audit` is set.
        dataset: All examples.
        folds: Its divisions.
        workdir: Folder of the run.
    """
    if not config.data.audit:
        return
    findings, meta = ask(config, dataset, folds, quick=True)
    write_json(_record(findings, meta), workdir / "audit.json")
    print(f"{_summary(findings)} See {workdir / 'audit.json'}.", flush=True)
    for finding in findings:
        if finding.status == "fail":
            line = f"WARNING, data audit: {finding.title}: {finding.sentence}"
            print(f"{'!' * 80}\n{line}\n{'!' * 80}", file=sys.stderr, flush=True)


def ask(
    config: Config, dataset: Dataset, folds: list[Fold], *, quick: bool
) -> tuple[list[Finding], dict[str, Any]]:
    """The findings on a data set as an experiment divides it, and what was asked.

    Args:
        config: The experiment.
        dataset: All examples.
        folds: Its divisions.
        quick: Whether to ask the cheap questions alone.

    Returns:
        The findings, and the `meta` of `audit.json`.
    """
    start = time.monotonic()
    dataset = data.names_apart(dataset)
    splits = [
        {part: _rows(dataset, getattr(fold, part)) for part in _PARTS} for fold in folds
    ]
    findings = data.audit_dataset(dataset, splits, quick=quick)
    meta = {
        "config": config.name,
        "data": {"name": dataset.name, "version": dataset.version},
        "num_examples": len(dataset),
        "num_patients": len(np.unique(dataset.patient_ids)),
        "num_folds": len(folds),
        "window": list(dataset.window),
        "quick": quick,
        "status": data.worst_status(findings),
        "seconds": round(time.monotonic() - start, 3),
        "not_a_diagnostic_device": True,
    }
    return findings, meta


def _rows(dataset: Dataset, part: Dataset) -> np.ndarray:
    """Where the examples of a part are in the whole, whose names are apart."""
    names = data.names_apart(part).example_ids
    return np.flatnonzero(np.isin(dataset.example_ids, names))


def _summary(findings: list[Finding]) -> str:
    counts = {
        status: sum(finding.status == status for finding in findings)
        for status in ("fail", "warn", "pass", "not_run")
    }
    return (
        f"Data audit: {counts['fail']} failed, {counts['warn']} warnings, "
        f"{counts['pass']} passed, {counts['not_run']} not run."
    )


def _record(findings: list[Finding], meta: dict[str, Any]) -> dict[str, Any]:
    return {"meta": meta, "findings": [dataclasses.asdict(f) for f in findings]}


def define_flags() -> None:
    """Flags of this command."""
    define_config("Experiment whose data to audit, such as configs/quickstart.py.")
    flags.DEFINE_string("output", "runs/audit", "Folder of audit.json and audit.html.")
    flags.DEFINE_bool("strict", False, "Exit with status 1 if a finding fails.")


def main(_) -> None:
    """Entry point."""
    findings = audit(required("config"), pathlib.Path(required("output")))
    if flags.FLAGS["strict"].value and data.worst_status(findings) == "fail":
        sys.exit(FAILED)


if __name__ == "__main__":
    run_command(main, define_flags)

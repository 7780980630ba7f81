"""What the audit of a data set finds, in numbers that name no patient.

    python -m benchmarks.data_audits --config=quickstart
    python -m benchmarks.data_audits --config=dmr_ir --manual_dir=FOLDER \
        --patients=135:300

Also: what share of changed copies of its images the search for nearly equal images
would find.
"""

import argparse
import dataclasses
import importlib
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.measure import describe_machine, write_report
from experiments import audit, cohort
from wbad_jax.data import Dataset, Finding
from wbad_jax.data.image_codes import fit_codes, noisy_copies

RESULTS = pathlib.Path(__file__).parent / "results"


def shifted(pixels: int) -> Callable[[Dataset], Dataset]:
    """Moves image and body to the right."""
    return lambda dataset: dataclasses.replace(
        dataset,
        images=np.roll(dataset.images, pixels, axis=2),
        masks=np.roll(dataset.masks, pixels, axis=2),
    )


def turned(degrees: float) -> Callable[[Dataset], Dataset]:
    """Turns image and body about the centre."""

    def turn(dataset: Dataset) -> Dataset:
        how: dict[str, Any] = dict(axes=(1, 2), reshape=False, mode="nearest")
        images = ndimage.rotate(dataset.images, degrees, order=1, **how)
        masks = ndimage.rotate(dataset.masks.astype(np.uint8), degrees, order=0, **how)
        return dataclasses.replace(dataset, images=images, masks=masks.astype(bool))

    return turn


def noisy(celsius: float) -> Callable[[Dataset], Dataset]:
    """Adds white noise."""

    def add(dataset: Dataset) -> Dataset:
        sigma = celsius / (dataset.window[1] - dataset.window[0])
        noise = np.random.default_rng(0).normal(0, sigma, dataset.images.shape)
        images = (dataset.images + noise).astype(np.float32)
        return dataclasses.replace(dataset, images=images)

    return add


def rescaled(dataset: Dataset) -> Dataset:
    """Less contrast and another level."""
    return dataclasses.replace(dataset, images=0.8 * dataset.images + 0.05)


def mirrored(dataset: Dataset) -> Dataset:
    """Left for right."""
    return dataclasses.replace(
        dataset, images=dataset.images[:, :, ::-1], masks=dataset.masks[:, :, ::-1]
    )


CHANGES: dict[str, Callable[[Dataset], Dataset]] = {
    "fresh noise": noisy_copies,
    "noise of 0.5 °C": noisy(0.5),
    "contrast x 0.8, other level": rescaled,
    "mirrored": mirrored,
    "moved by 1 pixel": shifted(1),
    "moved by 2 pixels": shifted(2),
    "turned by 2 degrees": turned(2.0),
    "turned by 5 degrees": turned(5.0),
}


def copies_found(dataset: Dataset) -> dict[str, float]:
    """Share of changed copies known again, by change."""
    factual = dataset.subset(dataset.factual)
    codes = fit_codes(factual)
    if codes is None:
        return {}
    own, mirror = codes.of(factual), codes.of(factual, mirrored=True)
    found = {}
    for name, change in CHANGES.items():
        copy = codes.of(change(factual))
        close = np.maximum((copy * own).sum(axis=1), (copy * mirror).sum(axis=1))
        found[name] = float((close >= codes.threshold).mean())
    return found


def numbers(value: Any) -> Any:
    """Evidence without names: numbers, and what holds nothing but numbers."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        kept = {name: numbers(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part is not None}
    return None


def measure(config: Any, dataset: Dataset) -> dict[str, Any]:
    """Audits a data set, divided as a config says."""
    folds = cohort.make_folds(config, dataset)
    findings, meta = audit.ask(config, dataset, folds, quick=False)
    _, quick = audit.ask(config, dataset, folds, quick=True)
    first = dataset.subset(dataset.factual)
    _, places = np.unique(first.patient_ids, return_index=True)
    for finding in findings:
        print(f"{finding.status:<8} {finding.sentence}", flush=True)
    return {
        "patients_by_label": np.bincount(first.labels[places]).tolist(),
        "images": len(dataset),
        "seconds": meta["seconds"],
        "seconds_quick": quick["seconds"],
        "findings": [_row(finding) for finding in findings],
        "copies_found": copies_found(dataset),
    }


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "title": finding.title,
        "status": finding.status,
        "evidence": numbers(finding.evidence),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Audit, print the findings and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="quickstart", help="Of configs/.")
    parser.add_argument("--manual_dir", help="Raw files, if the data set needs them.")
    parser.add_argument("--patients", help="Audit these too, FIRST:LAST by number.")
    parser.add_argument("--data_dir", help="Where prepared data sets are kept.")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args(argv)
    config = importlib.import_module(f"configs.{options.config}").get_config()
    config.data.manual_dir, config.data.data_dir = options.manual_dir, options.data_dir
    dataset = cohort.load(config)
    sets = {"all": measure(config, dataset)}
    if options.patients:
        first, last = map(int, options.patients.split(":"))
        among = (dataset.patient_ids >= first) & (dataset.patient_ids <= last)
        sets[options.patients] = measure(config, dataset.subset(among))
    report = {
        "machine": describe_machine(),
        "dataset": f"{dataset.name} {dataset.version}",
        "command": f"python -m benchmarks.data_audits --config={options.config}"
        + (" --manual_dir=FOLDER" if options.manual_dir else "")
        + (f" --patients={options.patients}" if options.patients else ""),
        "sets": sets,
    }
    output = options.output or RESULTS / f"audit_{options.config}.json"
    write_report(report, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

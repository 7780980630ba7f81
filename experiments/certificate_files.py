"""The certificates of a run: finished arms on disk, pooled folds, files and a table."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.default import Config
from experiments.certify_arms import RIGHT, UNDECIDED, Arrays
from experiments.run_folder import provenance, to_plain
from experiments.whole_files import read_arrays, write_arrays, write_json
from wbad_jax import processes
from wbad_jax.data.fingerprint import fingerprint
from wbad_jax.evaluation import (
    AccuracyCurve,
    Certificates,
    Examples,
    accuracy_curve,
    certified_right,
    crossings,
)

# Of one arm at one sigma on one fold.
Found = tuple[str, float, Examples, Arrays]


class KeptArrays:
    """Arrays of finished arms, so that a command that was stopped goes on.

    A file's name ends with a digest of all that its numbers depend on.
    """

    def __init__(self, folder: pathlib.Path, config: Config):
        """Keep arrays in a folder.

        Args:
            folder: Created when the first are there.
            config: The experiment.
        """
        self.folder = folder
        plain = to_plain(config)
        del plain["data"]["data_dir"]  # may change without changing the run
        self._settings = {"config": plain, **provenance(config)}

    def find_or_make(
        self, name: str, identity: Mapping[str, Any], make: Callable[[], Arrays]
    ) -> Arrays:
        """Arrays from their file, or made and kept.

        Args:
            name: First part of the file's name.
            identity: What they depend on beside the settings.
            make: Called if there is no file of them.
        """
        digest = fingerprint([self._settings, dict(identity)])
        path = self.folder / f"{name}-{digest}.npz"
        if not processes.as_first(path.exists()):
            arrays = make()
            processes.on_first(lambda: write_arrays(arrays, path))
        return read_arrays(path)


def summarise(
    config: Config,
    found: Sequence[Found],
    window: tuple[float, float],
    workdir: pathlib.Path,
) -> None:
    """Pool folds, write both files and print the table and what failed.

    Args:
        config: The experiment.
        found: Of all folds, arms and sigmas.
        window: Temperatures of pixel values 0 and 1, degrees Celsius.
        workdir: Where to write.
    """
    pooled = _pool(found)
    curves = [make_curve(config, *each, window) for each in pooled]
    shape = pooled[0][2].images.shape[1:]
    record = {"meta": _meta(config, window, shape), "curves": curves}
    write_json(record, workdir / "certificates.json")
    write_parquet(pooled, workdir / "certificates.parquet")
    print(format_table(curves))
    for failure in failures(curves):
        print(f"CHECK FAILED: {failure}")
    pixels = math.prod(shape)
    print(
        f"Radii in L2, pixel units; times {window[1] - window[0]:g} in °C. For an Linf "
        f"epsilon a radius of {math.sqrt(pixels):g} epsilon is needed, since all "
        f"{pixels} pixels may change.\nCertificates in {workdir}. Research only: "
        "no diagnostic use."
    )


def make_curve(
    config: Config,
    arm: str,
    sigma: float,
    examples: Examples,
    arrays: Arrays,
    window: tuple[float, float],
) -> dict[str, Any]:
    """One entry of "curves": certified and empirical accuracy, and the checks."""
    radii = config.certificates.radii
    right = certified_right(
        as_certificates(config, sigma, arrays), examples.labels, radii
    )
    patients = examples.patient_ids
    certified = accuracy_curve(right, patients, radii)
    left = accuracy_curve(arrays["attacked"] == RIGHT, patients, radii)
    undecided = (arrays["attacked"] == UNDECIDED).mean(axis=1)
    crossed = crossings(certified.accuracy, left.accuracy, undecided)
    return {
        "arm": arm,
        "sigma": sigma,
        "sigma_celsius": sigma * (window[1] - window[0]),
        "noise_trained": config.training.augmentation.noise_sigma > 0,
        "n": len(examples.labels),
        "num_patients": len(np.unique(patients)),
        **_curve_columns(certified, window),
        "empirical_accuracy": left.accuracy.tolist(),
        "empirical_ci_low": left.ci_low.tolist(),
        "empirical_ci_high": left.ci_high.tolist(),
        "empirical_undecided": undecided.tolist(),
        "abstained": float(arrays["abstained"].mean()),
        "median_radius": float(np.median(arrays["radius"])),
        "checks": {
            "certified": int((~arrays["abstained"]).sum()),
            "violations": int(arrays["violated"].sum()),
            "contradictory_twins": int(arrays["contradictory"].sum()),
            "radii_certified_above_empirical": np.array(radii)[crossed].tolist(),
            "radii_above_pair_bound": np.array(radii)[arrays["above_bound"]].tolist(),
        },
    }


def as_certificates(config: Config, sigma: float, arrays: Arrays) -> Certificates:
    """The certificates in an arm's arrays, without their votes."""
    return Certificates(
        predicted=arrays["predicted"],
        abstained=arrays["abstained"],
        radius=arrays["radius"],
        votes=np.zeros((len(arrays["radius"]), 0), int),
        sigma=sigma,
        alpha=config.certificates.alpha,
    )


def _curve_columns(curve: AccuracyCurve, window) -> dict[str, list[float]]:
    return {
        "radius": curve.radius.tolist(),
        "radius_celsius": (curve.radius * (window[1] - window[0])).tolist(),
        "certified_accuracy": curve.accuracy.tolist(),
        "ci_low": curve.ci_low.tolist(),
        "ci_high": curve.ci_high.tolist(),
    }


def failures(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each check that failed."""
    told = {
        "violations": "certificates refuted by an attack",
        "contradictory_twins": "pairs of twins with certificates that contradict",
        "radii_certified_above_empirical": "radii with more certified than left",
        "radii_above_pair_bound": "radii with more certified than the pair bound",
    }
    return [
        f"{curve['arm']} at sigma {curve['sigma']:g}: {words}: {curve['checks'][name]}."
        for curve in curves
        for name, words in told.items()
        if curve["checks"][name]
    ]


def write_parquet(pooled: Sequence[Found], path: pathlib.Path) -> None:
    """Write one line an image, arm and sigma, atomically."""
    tables = []
    for arm, sigma, examples, arrays in pooled:
        n = len(examples.labels)
        tables.append(
            pa.table(
                {
                    "example_id": pa.array(examples.example_ids.tolist(), pa.string()),
                    "patient_id": pa.array(examples.patient_ids, pa.int64()),
                    "label": pa.array(examples.labels, pa.int32()),
                    "arm": pa.array([arm] * n, pa.string()),
                    "sigma": pa.array([sigma] * n, pa.float64()),
                    "predicted": pa.array(arrays["predicted"], pa.int32()),
                    "radius": pa.array(arrays["radius"], pa.float64()),
                    "abstained": pa.array(arrays["abstained"], pa.bool_()),
                    "violated": pa.array(arrays["violated"], pa.bool_()),
                }
            )
        )
    temporary = path.with_suffix(".parquet.tmp")
    pq.write_table(pa.concat_tables(tables), temporary)
    temporary.replace(path)


def format_table(curves: Sequence[Mapping[str, Any]]) -> str:
    """A table for the terminal, in percent: certified / left by the attack."""
    radii = curves[0]["radius"]
    head = ["arm", "sigma", "n", "abstained", *(f"R >= {radius:g}" for radius in radii)]
    lines = [head]
    for curve in curves:
        shares = zip(
            curve["certified_accuracy"], curve["empirical_accuracy"], strict=True
        )
        lines.append(
            [
                curve["arm"],
                f"{curve['sigma']:g}",
                str(curve["n"]),
                f"{100 * curve['abstained']:.1f}",
                *(f"{100 * sure:.1f} / {100 * left:.1f}" for sure, left in shares),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(["Certified accuracy / accuracy under attack, %", *rows])


def _meta(config: Config, window, shape) -> dict[str, Any]:
    values = to_plain(config)["certificates"]
    width = window[1] - window[0]
    return {
        "name": config.name,
        **values,
        "sigmas_celsius": [sigma * width for sigma in values["sigmas"]],
        "window_celsius": list(window),
        "image_shape": list(shape),
        "radius_per_linf_epsilon": math.sqrt(math.prod(shape)),
        "noise_sigma_of_training": config.training.augmentation.noise_sigma,
        "not_a_diagnostic_device": True,
        **provenance(config),
    }


def _pool(found: Sequence[Found]) -> list[Found]:
    """Concatenate the folds of each arm and sigma."""
    groups: dict[tuple[str, float], list[Found]] = {}
    for each in found:
        groups.setdefault(each[:2], []).append(each)
    return [
        (arm, sigma, _join(group), _join_arrays(group))
        for (arm, sigma), group in groups.items()
    ]


def _join(group: Sequence[Found]) -> Examples:
    parts = [examples for _, _, examples, _ in group]
    names = "images", "labels", "example_ids", "patient_ids"
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    return Examples(**arrays)


def _join_arrays(group: Sequence[Found]) -> Arrays:
    parts = [arrays for _, _, _, arrays in group]
    joined = {
        name: np.concatenate([part[name] for part in parts], axis=-1)
        for name in parts[0]
        if name != "above_bound"
    }
    above = np.any([part["above_bound"] for part in parts], axis=0)
    return {**joined, "above_bound": above}

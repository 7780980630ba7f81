"""Measures the inverse on simulated patients, for `docs/inverse.md`.

    python -m docs.figures.inverse --patients=50
    python -m docs.figures.inverse --patients=0 --workdir=runs/inverse --suspects=30

The second line measures the detector of adversarial images against the arm
`undefended` of a run of `configs/quickstart.py` in `--workdir`. A part that is not
asked for keeps its numbers in `inverse.json`. Seeds of the patients are outside the
ranges of all cohorts. About 20 s a patient on two cores.
"""

import json
import pathlib
import time
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from docs.figures import twin_pictures
from docs.figures.command_line import output_parser
from docs.figures.inverse_detector import measure_detector
from docs.figures.twin import versions
from wbad_jax.bioheat import cohort
from wbad_jax.bioheat.calibration import Calibration
from wbad_jax.bioheat.inverse import Inverse, InverseSettings

FIRST_SEED = 9_600_000
# Patients whose healthy twin is calibrated too.
BOTH_TWINS = 5
SEARCH = InverseSettings(num_starts=1, max_iterations=20)
ESTIMATED = ("column", "row", "depth", "diameter", "log_heat", "log_power", "log_flow")
PAIRS = (
    ("log_heat", "log_diameter"),
    ("log_heat", "log_flow"),
    ("log_diameter", "log_flow"),
    ("depth", "log_power"),
    ("depth", "diameter"),
    ("depth", "log_heat"),
)


def truth(parameters: dict[str, float]) -> dict[str, float]:
    """True values by the names of the estimates."""
    heat = parameters["tumour_tissue_metabolic_heat"]
    diameter = parameters["tumour_diameter"]
    return {
        "column": parameters["tumour_column"],
        "row": parameters["tumour_row"],
        "depth": parameters["tumour_depth"],
        "diameter": diameter,
        "log_heat": float(np.log(heat)),
        "log_power": float(np.log(heat * np.pi / 6 * (diameter * 1e-3) ** 3)),
        "log_flow": float(np.log(parameters["tumour_tissue_perfusion"])),
    }


def invert(
    seed: int, settings: cohort.CohortSettings, *, vessels: bool, both: bool
) -> tuple[cohort.Patient, Calibration, Calibration | None]:
    """Calibrates a patient's twin with tumour, and the healthy one if asked."""
    patient = cohort.simulate_patient(seed, settings)
    template, acquisition = cohort.draw_healthy(seed, settings)
    if not vessels:
        template = template._replace(vessels=np.zeros_like(template.vessels))
    room = acquisition.room_celsius
    inverse = Inverse(patient.mask, template, room, settings, SEARCH)
    ill = inverse.calibrate(patient.tumour_celsius[0])
    healthy = inverse.calibrate(patient.healthy_celsius[0]) if both else None
    return patient, ill, healthy


def describe(
    patient: cohort.Patient, ill: Calibration, healthy: Calibration | None
) -> dict:
    """One patient's row of the record."""
    row = {
        "seed": patient.seed,
        "true": truth(patient.parameters),
        "estimate": {name: ill.values[name] for name in ESTIMATED},
        "sd": {name: ill.standard_deviations[name] for name in ESTIMATED},
        "correlation": {" ".join(pair): ill.correlation(*pair) for pair in PAIRS},
        "own_vessels": patient.parameters["tumour_vessels_points"] > 0,
        "noise_celsius": patient.parameters["noise_celsius"],
        "tumour_image": _fit(ill),
    }
    return {**row, "healthy_image": _fit(healthy)} if healthy else row


def _fit(found: Calibration) -> dict:
    return {
        "pixels": found.pixels,
        "converged": found.converged,
        "iterations": [found.healthy.iterations, found.ill.iterations],
        "decrements": [found.healthy.decrement, found.ill.decrement],
        "chi_square": [found.healthy.chi_square, found.ill.chi_square],
        "log_evidence_ratio": found.log_evidence_ratio,
        "residual_rms_celsius": [
            float(np.sqrt((each**2).sum() / found.pixels))
            for each in (found.healthy_residual, found.residual)
        ],
    }


def summarise(rows: list[dict]) -> dict:
    """Errors, coverage, what cannot be told apart, and how the fits went."""
    groups = {
        "without_own_vessels": [row for row in rows if not row["own_vessels"]],
        "with_own_vessels": [row for row in rows if row["own_vessels"]],
    }
    summary: dict = {"patients": len(rows)}
    summary["errors"] = {
        name: _errors(group) for name, group in {"all": rows, **groups}.items() if group
    }
    summary["correlation"] = {
        key: float(np.median([row["correlation"][key] for row in rows]))
        for key in rows[0]["correlation"]
    }
    for image in ("tumour_image", "healthy_image"):
        fits = [row[image] for row in rows if image in row]
        if fits:
            summary[image] = _summary_of_fits(fits)
    return summary


def _errors(rows: list[dict]) -> dict:
    """Errors and coverage of a group of patients."""
    summary: dict = {
        "patients": len(rows),
        "converged": float(np.mean([row["tumour_image"]["converged"] for row in rows])),
    }
    for name in ESTIMATED:
        errors = np.array([row["estimate"][name] - row["true"][name] for row in rows])
        spreads = np.array([row["sd"][name] for row in rows])
        true = np.array([row["true"][name] for row in rows])
        summary[name] = {
            "median_absolute_error": _median(abs(errors)),
            "mean_error": float(errors.mean()),
            "rms_error": float(np.sqrt((errors**2).mean())),
            "median_stated_sd": float(np.median(spreads)),
            "spread_of_truth": float(true.std()),
            "coverage_68": float((abs(errors) < spreads).mean()),
            "coverage_95": float((abs(errors) < 1.96 * spreads).mean()),
        }
    shifts = [
        np.hypot(*(row["estimate"][n] - row["true"][n] for n in ("column", "row")))
        for row in rows
    ]
    summary["place"] = {"median_error_mm": _median(np.array(shifts))}
    summary["place"]["within_10_mm"] = float((np.array(shifts) < 10).mean())
    return summary


def _summary_of_fits(fits: list[dict]) -> dict:
    ratios = np.array([fit["log_evidence_ratio"] for fit in fits])
    reduced = np.array([fit["chi_square"] for fit in fits])
    reduced = reduced / np.array([[fit["pixels"]] for fit in fits])
    return {
        "images": len(fits),
        "converged": float(np.mean([fit["converged"] for fit in fits])),
        "favours_tumour": float(
            np.mean([fit["log_evidence_ratio"] > 0 for fit in fits])
        ),
        "median_log_evidence_ratio": float(np.median(ratios)),
        "median_reduced_chi_square": np.median(reduced, axis=0).tolist(),
        "median_residual_rms_celsius": np.median(
            [fit["residual_rms_celsius"] for fit in fits], axis=0
        ).tolist(),
    }


def _median(values: np.ndarray) -> list[float]:
    """Median with its 95 % interval by bootstrap over patients."""
    rng = np.random.default_rng(0)
    draws = rng.choice(values, (2000, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return [float(np.median(values)), float(low), float(high)]


def draw_recovery(rows: list[dict], path: pathlib.Path) -> None:
    """Estimates against truth with stated 95 % intervals."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    labels = {
        "depth": "depth of the centre, mm",
        "log_power": "logarithm of the heat, W",
        "diameter": "diameter, mm",
    }
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        true = [row["true"][name] for row in rows]
        found = [row["estimate"][name] for row in rows]
        spread = [1.96 * row["sd"][name] for row in rows]
        axis.errorbar(true, found, spread, fmt="o", markersize=3, linewidth=0.8)
        ends = [min(true), max(true)]
        axis.plot(ends, ends, color="black", linewidth=0.8)
        axis.set(xlabel=f"true {label}", ylabel="estimated, 95 %")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is asked for and writes `inverse.json`."""
    parser = output_parser(__doc__, "inverse.json")
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--without-vessels", type=int, default=0)
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--suspects", type=int, default=30)
    options = parser.parse_args(arguments)
    path = options.output / "inverse.json"
    settings = twin_pictures.cohort("quickstart")
    parts = (("known", options.patients), ("no_vessels", options.without_vessels))
    for name, count in parts:
        rows, begun = [], time.time()
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            both = seed < FIRST_SEED + BOTH_TWINS
            found = invert(seed, settings, vessels=name == "known", both=both)
            rows.append(describe(*found))
            part = {
                "first_seed": FIRST_SEED,
                "seconds_per_patient": (time.time() - begun) / len(rows),
                "summary": summarise(rows),
                "patients": rows,
            }
            _update(path, name, part)
            print(name, seed, rows[-1]["estimate"]["depth"], flush=True)
        if rows and name == "known":
            draw_recovery(rows, options.output / "inverse_recovery.png")
    if options.workdir:
        found = measure_detector(options.workdir, options.suspects, settings)
        _update(path, "detector", found)


def _update(path: pathlib.Path, name: str, part: dict) -> None:
    record = json.loads(path.read_text("utf-8")) if path.exists() else {}
    record["versions"] = versions()
    record[name] = part
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What classifiers could reach on the test patients of the headline, at all its radii.

    python -m benchmarks.headline_bracket --sweep=runs/headline

Writes `benchmarks/results/headline_bracket.json`. For each Linf radius: the ceiling of
the informed observer, the mean over test patients; how many of them are *resolvable*,
that is right with probability 0.99 at least for an observer who knows background and
lesion; the pair bound; and what a linear scan, fitted to the same training patients, is
certified to keep on the test images. Trains nothing and attacks nothing; reads the
config of the sweep's first run.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.measure import write_sweep_report
from experiments import cohort
from experiments.bracket import Pairs, noise_spectra, observe, pairs_of
from experiments.cohort import Fold
from experiments.run_folder import load_config
from wbad_jax import data, evaluation
from wbad_jax.bioheat import CohortSettings
from wbad_jax.data import Dataset
from wbad_jax.evaluation import ScanningObserver

RESULTS = pathlib.Path(__file__).parent / "results" / "headline_bracket.json"
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
RESOLVED = 0.99  # probability that an observer told everything is right
# Of alpha, relative. Coarser than for `docs/ceiling.md`: both ends are bounds, and what
# is counted here is far from either.
_TOLERANCE = 1e-2


def certified_row(
    observer: ScanningObserver, test: Dataset, epsilon: float
) -> dict[str, Any]:
    """What the scanning observer certifies on test images."""
    right = observer.certify(test.images[..., 0], test.labels, epsilon)
    accuracy, low, high = evaluation.certified_accuracy(right)
    return {
        "n": len(right),
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
        "sensitivity": float(right[test.labels == 1].mean()),
        "specificity": float(right[test.labels == 0].mean()),
    }


def informed_row(pairs: Pairs, spectra: np.ndarray, epsilon: float) -> dict[str, Any]:
    """Ceiling of test patients, and how many of them are resolvable.

    Args:
        pairs: Their twins.
        spectra: Of field and noise, `[n, height, width]`.
        epsilon: Linf radius in pixel units.
    """
    found = observe(pairs, spectra, epsilon, "linf", tolerance=_TOLERANCE)
    ceiling, reached = found["ceiling"], found["reached"]
    return {
        "patients": len(ceiling),
        "ceiling": float(ceiling.mean()),
        "lowest": float(ceiling.min()),
        "largest_gap": float(found["gap"].max()),
        # By what is reached, so that a loose gap cannot make a patient resolvable.
        "resolvable": int((reached >= RESOLVED).sum()),
    }


def bracket_rows(
    fold: Fold, law: CohortSettings, multiples: Sequence[float] = MULTIPLES
) -> list[dict[str, Any]]:
    """One row a radius.

    Args:
        fold: Patients to fit the scan on, and to test on.
        law: Of the test patients.
        multiples: Radii in units of the fold's budget.
    """
    train = pairs_of(fold.train, np.arange(len(fold.train)))
    pairs = pairs_of(fold.test_pairs, np.arange(len(fold.test_pairs)))
    spectra = noise_spectra(law, pairs.noise, fold.test.window)
    radii = [fold.budgets["linf"] * multiple for multiple in multiples]
    observers = evaluation.fit_scanning_observers(
        train.healthy, train.tumour, train.body, radii
    )
    rows = []
    for multiple, epsilon, observer in zip(
        tqdm(multiples, desc="radii"), radii, observers, strict=True
    ):
        bound = evaluation.pair_bound(pairs.healthy, pairs.tumour, epsilon, "linf")
        rows.append(
            {
                "multiple": multiple,
                "epsilon": epsilon,
                "pair_bound": bound.accuracy,
                "informed": informed_row(pairs, spectra, epsilon),
                "certified": certified_row(observer, fold.test, epsilon),
            }
        )
    return rows


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Raises:
        FileNotFoundError: If no run of the four arms has begun.
    """
    found = sorted(sweep.glob("arms/seed*/config.json"))
    if not found:
        raise FileNotFoundError(f"{sweep} has no run of the arms.")
    config = load_config(found[0].parent)
    (fold,) = cohort.make_folds(config, cohort.load(config))
    name = (config.data.test_builder or config.data.builder).split("/")[-1]
    builders = {each.name: each for each in data.SimulatedThermograms.BUILDER_CONFIGS}
    low, high = fold.test.window
    rows = bracket_rows(fold, builders[name].cohort)
    for row in rows:
        row["epsilon_celsius"] = row["epsilon"] * (high - low)
    return {
        "command": "python -m benchmarks.headline_bracket",
        "tested_on": name,
        "resolved": RESOLVED,
        "rows": rows,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(__doc__ or "", report_of, "runs/headline", RESULTS, argv)


if __name__ == "__main__":
    sys.exit(main())

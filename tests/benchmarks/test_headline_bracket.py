"""The bracket of the headline's test patients, on twins made of noise and spots."""

import numpy as np
import pytest

from benchmarks import headline_bracket
from experiments.bracket import noise_spectra, pairs_of
from experiments.cohort import Fold
from tests.flat_twins import SETTINGS, spots
from wbad_jax import evaluation

pytestmark = pytest.mark.fast
MULTIPLES = (0.5, 1.0, 8.0)
BUDGET = 0.01


@pytest.fixture(scope="module")
def fold():
    train, pairs = spots(40, seed=0), spots(12, seed=1)
    return Fold(
        name="",
        train=train,
        validation=train,
        test=pairs.subset(pairs.factual),
        test_pairs=pairs,
        budgets={"linf": BUDGET, "l2": 0.1},
        baselines={},
    )


@pytest.fixture(scope="module")
def spectra(fold):
    pairs = pairs_of(fold.test_pairs, np.arange(len(fold.test_pairs)))
    return noise_spectra(SETTINGS, pairs.noise, fold.test.window)


@pytest.fixture(scope="module")
def rows(fold):
    return headline_bracket.bracket_rows(fold, SETTINGS, MULTIPLES)


def test_one_row_a_radius_and_bounds_fall(rows):
    assert [row["epsilon"] for row in rows] == [m * BUDGET for m in MULTIPLES]
    for name, bound in (("certified", "accuracy"), ("informed", "ceiling")):
        values = [row[name][bound] for row in rows]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1]


def test_patients_resolved_are_those_of_an_exact_solution(fold, spectra, rows):
    pairs = pairs_of(fold.test_pairs, np.arange(len(fold.test_pairs)))
    counts = []
    for row in rows:
        exact = evaluation.observe_in_stationary_noise(
            pairs.lesions, spectra, row["epsilon"], observed=pairs.body, tolerance=1e-5
        )
        assert row["informed"]["ceiling"] == pytest.approx(
            exact.ceiling.mean(), abs=1e-3
        )
        assert row["informed"]["lowest"] == pytest.approx(exact.ceiling.min(), abs=3e-3)
        counts.append(int((exact.reached >= 0.99).sum()))
        assert row["informed"]["resolvable"] == counts[-1]
        assert row["informed"]["patients"] == 12
    assert len(set(counts)) > 1  # or nothing was told apart


def test_the_scan_is_judged_on_the_images_that_networks_are_tested_on(fold, rows):
    train = pairs_of(fold.train, np.arange(len(fold.train)))
    (observer,) = evaluation.fit_scanning_observers(
        train.healthy, train.tumour, train.body, [BUDGET]
    )
    test = fold.test
    right = observer.certify(test.images[..., 0], test.labels, BUDGET)
    certified = rows[1]["certified"]
    assert certified["accuracy"] == right.mean()
    assert certified["n"] == len(test.labels) == 12
    healthy = (test.labels == 0).mean()
    both = certified["specificity"] * healthy + certified["sensitivity"] * (1 - healthy)
    assert both == pytest.approx(right.mean())

"""The ceiling of pairs, and the check against it, on patients made by hand."""

import dataclasses

import numpy as np
import pytest

from experiments import pair_ceilings
from experiments.cohort import Fold
from tests.experiments.test_cohort_training import make_dataset
from wbad_jax import evaluation

pytestmark = pytest.mark.fast

ADAPTIVE = evaluation.Condition(
    arm="wbad", set="test_pairs", protocol="adaptive", attack="worst_case",
    norm="linf", epsilon=0.05, seed=0,
)  # fmt: skip


def fold_of(pairs, name=""):
    return Fold(name, pairs, pairs, pairs, pairs, {}, {})


def pairs_with_lesions(contrasts, frames=1):
    """Patients whose twins differ by their contrast in one pixel, in any order."""
    dataset = make_dataset(len(contrasts), frames)
    dataset.images[:] = 0.5
    ill = dataset.labels == 1
    dataset.images[ill, 1, 2, 0] += np.asarray(contrasts)[dataset.patient_ids[ill]]
    return dataset.subset(np.random.default_rng(0).permutation(len(dataset)))


def outcome(correct, patients, condition=ADAPTIVE):
    n = len(correct)
    return evaluation.Outcome(
        condition=condition,
        example_ids=np.arange(n).astype(str),
        patient_ids=np.asarray(patients),
        labels=np.arange(n) % 2,
        logits=np.eye(2)[(np.arange(n) + ~np.asarray(correct)) % 2],
        distance=np.zeros(n),
        seconds=0.0,
    )


def wanted(**changes):
    return outcome([True], [0], dataclasses.replace(ADAPTIVE, **changes))


@pytest.mark.parametrize("frames", [1, 3])
def test_ceilings_of_pooled_folds_at_each_budget(frames):
    # Contrasts below twice the radius conflict: 2 of 5 at 0.05, 4 of 5 at 0.2.
    folds = [
        fold_of(pairs_with_lesions([0.05, 0.3, 0.45], frames)),
        fold_of(pairs_with_lesions([0.08, 0.35], frames)),
    ]
    outcomes = [
        wanted(),
        wanted(epsilon=0.2),
        wanted(norm="l2", epsilon=0.2),
        wanted(norm="l0", epsilon=3.0),  # the bound does not cover it
        wanted(epsilon=0.3, protocol="graybox"),
        wanted(epsilon=0.4, set="test"),
    ]
    found = pair_ceilings.pair_ceilings(folds, outcomes)
    assert found == {
        ("linf", 0.05): pytest.approx(1 - 2 / 5 / 2),
        ("linf", 0.2): pytest.approx(1 - 4 / 5 / 2),
        ("l2", 0.2): pytest.approx(1 - 4 / 5 / 2),
    }


def test_patients_in_one_state_have_no_ceiling():
    dataset = pairs_with_lesions([0.1, 0.1])
    lone = dataset.subset(dataset.factual)
    assert pair_ceilings.pair_ceilings([fold_of(lone)], [wanted()]) == {}


def test_worst_cases_above_the_ceiling_are_found():
    fold = fold_of(pairs_with_lesions([0.05, 0.3]))
    patients = [0, 0, 1, 1]
    within = outcome([True, False, True, True], patients)  # 3/4, all that is possible
    above = dataclasses.replace(
        outcome([True] * 4, patients), condition=dataclasses.replace(ADAPTIVE, arm="x")
    )
    single = dataclasses.replace(
        above, condition=dataclasses.replace(ADAPTIVE, attack="pgd")
    )
    graybox = dataclasses.replace(
        above, condition=dataclasses.replace(ADAPTIVE, protocol="graybox")
    )
    outcomes = [within, above, single, graybox]
    ceilings = pair_ceilings.pair_ceilings([fold], outcomes)
    rows = evaluation.make_rows(outcomes, (22.0, 38.0), ceilings)
    assert [row["ceiling"] for row in rows] == [0.75, 0.75, 0.75, None]
    assert pair_ceilings.pair_bound_violations(rows) == [
        {"arm": "x", "norm": "linf", "epsilon": 0.05, "accuracy": 1, "ceiling": 0.75}
    ]

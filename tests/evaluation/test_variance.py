"""Parts of a variance on crossed data of which the truth is known."""

import numpy as np
import pytest

from wbad_jax import evaluation

pytestmark = pytest.mark.fast

SEED, PATIENT, REST = 0.02**2, 0.3**2, 0.25**2


def draw(rng, seeds, patients, seed=SEED, patient=PATIENT, rest=REST):
    return (
        0.8
        + np.sqrt(seed) * rng.normal(size=(seeds, 1))
        + np.sqrt(patient) * rng.normal(size=patients)
        + np.sqrt(rest) * rng.normal(size=(seeds, patients))
    )


def test_parts_by_hand():
    """A table of 2 seeds and 3 patients; sums of squares of the textbook."""
    table = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]])
    found = evaluation.crossed_variance(table, np.arange(3))
    # Means 3; of seeds 3, 3; of patients 2, 2, 5. Residuals -1, 0, 1, 1, 0, -1.
    square_rest, square_patient, square_seed = 4 / 2, 2 * 6 / 2, 0.0
    assert found.mean == pytest.approx(3)
    assert found.rest == pytest.approx(square_rest)
    assert found.patient == pytest.approx((square_patient - square_rest) / 2)
    assert found.seed == 0  # its estimate is below 0
    half = 1.959963984540054 * np.sqrt(found.patient / 3 + square_seed)
    assert [found.low, found.high] == pytest.approx([3 - half, 3 + half])


def test_parts_of_many_tables_are_on_average_the_truth():
    rng = np.random.default_rng(0)
    found = [
        evaluation.crossed_variance(
            draw(rng, 6, 60, seed=0.1**2), np.arange(60)
        )
        for _ in range(200)
    ]  # fmt: skip
    assert np.mean([f.seed for f in found]) == pytest.approx(0.1**2, rel=0.1)
    assert np.mean([f.patient for f in found]) == pytest.approx(PATIENT, rel=0.03)
    assert np.mean([f.rest for f in found]) == pytest.approx(REST, rel=0.02)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("seed", [0.0, SEED, 0.1**2])
def test_crossed_intervals_hold_the_truth(seeds, seed):
    rng, held, pooled = np.random.default_rng(seeds), [], []
    for _ in range(500):
        table = draw(rng, seeds, 100, seed=seed)
        found = evaluation.crossed_variance(table, np.arange(100))
        held.append(found.low <= 0.8 <= found.high)
        half = 1.96 * table.std() / np.sqrt(table.size)
        pooled.append(abs(table.mean() - 0.8) <= half)
    # With little spread between seeds the t law of few degrees is on the safe side.
    assert 0.92 < np.mean(held) < (0.98 if seed > SEED else 0.995)
    assert np.mean(pooled) < 0.85  # seeds times patients are no independent trials


def test_patients_with_more_images_weigh_more():
    rng = np.random.default_rng(1)
    ids = np.repeat(np.arange(40), rng.integers(1, 6, 40))
    scores = rng.random((3, len(ids))) < rng.random(40)[ids]
    found = evaluation.crossed_variance(scores, ids)
    assert found.mean == pytest.approx(scores.mean())
    # Without spread of seeds what is left is the spread of drawn patients.
    same = np.broadcast_to(scores[:1], (3, len(ids)))
    found = evaluation.crossed_variance(same, ids)
    low, high = evaluation.bootstrap_interval(same[0].astype(float), ids)
    assert (found.seed, found.rest) == pytest.approx((0, 0))
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.02)


def test_cohorts():
    """The interval of few cohorts holds the truth, and their variance is found."""
    rng, held, parts = np.random.default_rng(2), [], []
    for _ in range(300):
        cohorts = [
            evaluation.crossed_variance(
                0.1 * rng.normal() + draw(rng, 3, 40), np.arange(40)
            )
            for _ in range(4)
        ]
        found = evaluation.cohort_variance(cohorts, 3, 40)
        held.append(found.low <= 0.8 <= found.high)
        parts.append(found.cohort)
    assert 0.92 < np.mean(held) < 0.98
    assert np.mean(parts) == pytest.approx(0.1**2, rel=0.15)


def test_one_of_a_kind_has_no_variance():
    with pytest.raises(ValueError, match="2 seeds and 2 patients, got 1 and 4"):
        evaluation.crossed_variance(np.ones((1, 4)), np.arange(4))
    with pytest.raises(ValueError, match="got 3 and 1"):
        evaluation.crossed_variance(np.ones((3, 4)), np.zeros(4, int))
    one = evaluation.crossed_variance(np.ones((2, 4)), np.arange(4))
    with pytest.raises(ValueError, match="at least 2"):
        evaluation.cohort_variance([one], 2, 4)

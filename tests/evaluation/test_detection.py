"""Detectors: their numbers against scikit-learn and by hand, and toy attackers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wbad_jax import attacks, evaluation
from wbad_jax.evaluation import Guarded

EPSILON = 0.5


def guarded(wrong, excess):
    """Label 0 everywhere, margins of 1."""
    wrong = np.asarray(wrong, bool)
    logits = np.where(wrong[:, None], [[0.0, 1.0]], [[1.0, 0.0]])
    labels = np.zeros(len(wrong), np.int32)
    return Guarded(logits=logits, labels=labels, excess=np.asarray(excess, float))


def draw_problem(n=60, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(2, n)) + [[0.0], [0.8]], 1)  # with ties
    clean = guarded(rng.random(n) < 0.1, scores[0] - 1)
    attacked = guarded(clean.wrong | (rng.random(n) < 0.7), scores[1] - 1)
    return clean, attacked, np.arange(n)


@pytest.mark.fast
def test_the_area_is_that_of_scikit_learn_over_fooled_images():
    clean, attacked, patients = draw_problem()
    found = evaluation.measure_detection(clean, attacked, patients)
    fooled = attacked.wrong & ~clean.wrong
    truth = np.r_[np.zeros(60), np.ones(fooled.sum())]
    scores = np.r_[clean.excess, attacked.excess[fooled]]
    assert found.auc == pytest.approx(roc_auc_score(truth, scores))
    assert 0.5 < found.ci_low < found.auc < found.ci_high < 1
    area = np.trapezoid(found.tpr, found.fpr)
    assert area == pytest.approx(found.auc)
    assert (found.n, found.n_fooled) == (60, fooled.sum())
    assert found.accuracy == pytest.approx(1 - attacked.wrong.mean())
    caught = attacked.excess > 0
    assert found.tpr_at_5_percent == pytest.approx(caught[fooled].mean())
    assert found.false_alarm_rate == pytest.approx((clean.excess > 0).mean())
    left = (attacked.wrong & ~caught).mean()
    assert found.broken_and_undetected == pytest.approx(left)


@pytest.mark.fast
def test_the_interval_is_that_of_a_slow_bootstrap_over_patients():
    clean, attacked, _ = draw_problem()
    # Three images each: the interval has to know that they belong together.
    patients = np.repeat(np.arange(20), 3)
    found = evaluation.measure_detection(clean, attacked, patients)
    fooled = attacked.wrong & ~clean.wrong
    rng, areas = np.random.default_rng(1), []
    for _ in range(300):
        drawn = rng.integers(0, 20, 20)
        rows = np.concatenate([np.flatnonzero(patients == p) for p in drawn])
        hit = rows[fooled[rows]]
        truth = np.r_[np.zeros(len(rows)), np.ones(len(hit))]
        scores = np.r_[clean.excess[rows], attacked.excess[hit]]
        areas.append(roc_auc_score(truth, scores))
    low, high = np.percentile(areas, [2.5, 97.5])
    assert found.ci_low == pytest.approx(low, abs=0.025)
    assert found.ci_high == pytest.approx(high, abs=0.025)


@pytest.mark.fast
def test_nothing_fooled_leaves_no_curve():
    clean = guarded([False, True, False], [-1.0, -1.0, 1.0])
    found = evaluation.measure_detection(clean, clean, np.arange(3))
    assert found.auc is found.ci_low is found.tpr_at_5_percent is None
    assert found.fpr == found.tpr == []
    assert found.n_fooled == 0
    assert found.broken_and_undetected == pytest.approx(1 / 3)


@pytest.mark.fast
@pytest.mark.parametrize("n", [1, 20, 21, 60, 100])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_frozen_limit_is_the_lowest_that_flags_its_share(n, share):
    scores = np.random.default_rng(n).permutation(np.arange(n, dtype=float))
    limit = evaluation.frozen_limit(scores, share)
    allowed = round(share * n, 9)
    assert np.sum(scores > limit) <= allowed
    assert np.sum(scores > limit - 1) > allowed or limit == 0


@pytest.mark.fast
def test_the_best_hidden_image_is_wrong_and_least_suspicious():
    first = guarded([True, True, False, False], [3.0, -1.0, -9.0, 0.0])
    second = guarded([True, False, True, False], [2.0, -5.0, 4.0, -1.0])
    best = evaluation.best_hidden([first, second])
    np.testing.assert_array_equal(best.wrong, [True, True, True, False])
    np.testing.assert_array_equal(best.excess, [2.0, -1.0, 4.0, 0.0])


@pytest.mark.fast
def test_the_change_of_two_logits_is_that_of_the_margin():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 2))
    found = evaluation.prediction_change(jnp.asarray(first), jnp.asarray(second))
    margins = [logits[:, 1] - logits[:, 0] for logits in (first, second)]
    np.testing.assert_allclose(found, np.abs(margins[0] - margins[1]), rtol=1e-5)
    # A shift of all logits is no change of the prediction.
    same = evaluation.prediction_change(jnp.asarray(first), jnp.asarray(first) + 3)
    np.testing.assert_allclose(same, 0, atol=1e-5)


@pytest.mark.fast
def test_bad_input_is_named():
    good = guarded([True, False], [0.0, 1.0])
    bad = guarded([True, False], [0.0, np.nan])
    with pytest.raises(ValueError, match=r"attacked must be finite"):
        evaluation.measure_detection(good, bad, np.arange(2))
    with pytest.raises(ValueError, match=r"one entry for each of 2 examples"):
        evaluation.measure_detection(good, good, np.arange(3))
    with pytest.raises(ValueError, match=r"one at least"):
        evaluation.measure_detection(*[guarded([], [])] * 2, np.arange(0))
    with pytest.raises(ValueError, match=r"scores must be finite"):
        evaluation.frozen_limit(np.array([]))
    with pytest.raises(ValueError, match=r"false_alarms must be in 0 .. 1, got 5"):
        evaluation.frozen_limit(np.ones(3), 5)


def outputs_of(params):
    """The class shows in the mean of all pixels, the score in that of the upper half.

    So an attack in the lower half alone is never seen, and takes twice the length.
    """

    def outputs(images):
        mean = jnp.mean(images, axis=(1, 2, 3))
        excess = jnp.abs(jnp.mean(images[:, :2], axis=(1, 2, 3))) - params["limit"]
        return jnp.stack([-mean, mean, excess], axis=-1)

    return outputs


def logits_of(params):
    return lambda images: outputs_of(params)(images)[:, :2]


@pytest.fixture
def examples():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 12).astype(np.int32)
    noise = rng.normal(0, 1e-3, (12, 4, 3, 1))
    # The lower half tells the classes apart, far enough for half of the radius.
    noise[:, 2:] += 0.3 * (2 * labels - 1)[:, None, None, None]
    return evaluation.Examples(
        images=np.float32(noise), labels=labels,
        example_ids=np.array([f"e{i}" for i in range(12)]), patient_ids=np.arange(12),
    )  # fmt: skip


class Wide:
    """An attack with pixels of any sign."""

    def __init__(self, attack):
        self._attack, self.norm = attack, attack.norm

    def __call__(self, *arguments, **named):
        return self._attack(*arguments, bounds=(-9.0, 9.0), **named)


AWARE = Wide(evaluation.Evasion(attack=attacks.DetectorAwarePGD(num_steps=20)))


def measure(outputs, clean_outputs, examples):
    both = [
        Guarded(logits=o[:, :2], labels=examples.labels, excess=o[:, 2])
        for o in (clean_outputs, outputs)
    ]
    return evaluation.measure_detection(*both, examples.patient_ids)


def test_perfect_until_the_attacker_knows(examples, key):
    params = {"limit": jnp.float32(0.05)}
    evaluator = evaluation.Evaluator(outputs_of, batch_size=5)
    clean = evaluator.logits(params, examples)
    ignorant = evaluation.Evaluator(logits_of, batch_size=5).attack(
        Wide(attacks.PGD(num_steps=5)), params, examples, key, EPSILON
    )
    plain = measure(evaluator.logits(params, examples, ignorant.images), clean,
                    examples)  # fmt: skip
    assert (plain.auc, plain.tpr_at_5_percent) == (1.0, 1.0)
    assert plain.accuracy == plain.broken_and_undetected == 0
    evaded = evaluator.attack(AWARE, params, examples, key, EPSILON)
    aware = measure(evaluator.logits(params, examples, evaded.images), clean, examples)
    assert (aware.accuracy, aware.broken_and_undetected) == (0, 1)
    np.testing.assert_array_less(np.abs(evaded.images - examples.images), 0.5001)
    # What was attacked with is what is returned, the column of the score too.
    again = evaluator.logits(params, examples, evaded.images)
    np.testing.assert_allclose(evaded.logits, again, atol=1e-5)


def test_a_detector_that_leaves_no_room_stops_the_attacker(examples, key):
    """All pixels watched, in the direction of the class itself."""

    def watched(params):
        def outputs(images):
            mean = jnp.mean(images, axis=(1, 2, 3))
            start = 0.15 - params["limit"]
            return jnp.stack([-mean, mean, start - jnp.abs(mean)], axis=-1)

        return outputs

    params = {"limit": jnp.float32(0.05)}
    evaluator = evaluation.Evaluator(watched, batch_size=12)
    clean = evaluator.logits(params, examples)
    # 0.1 off the boundary on either side is allowed; a smaller radius cannot cross.
    evaded = evaluator.attack(AWARE, params, examples, key, 0.2)
    found = measure(evaluator.logits(params, examples, evaded.images), clean, examples)
    assert found.broken_and_undetected == 0


def test_limits_and_scores_do_not_recompile_and_neighbours_do_not_matter(examples, key):
    traces = []

    def counted(params):
        traces.append(None)
        return outputs_of(params)

    evaluator = evaluation.Evaluator(counted, batch_size=5)
    images = []
    for limit in (0.05, 0.01, 0.05):
        params = {"limit": jnp.float32(limit)}
        images.append(evaluator.attack(AWARE, params, examples, key, EPSILON).images)
    assert len(traces) == 2  # One for logits, one for the attack.
    np.testing.assert_array_equal(images[0], images[2])
    assert np.abs(images[1] - images[0]).max() > 0
    alone = evaluation.Evaluator(outputs_of, batch_size=1).attack(
        AWARE, {"limit": jnp.float32(0.05)}, examples, key, EPSILON
    )
    np.testing.assert_allclose(alone.images, images[0], atol=1e-4)


def test_other_backward_passes_serve_the_attacker(examples, key):
    """The classifier hides its gradient; a surrogate has it."""

    def hidden(params):
        def outputs(images):
            logits = jax.lax.stop_gradient(outputs_of(params)(images)[:, :2])
            return jnp.concatenate([logits, outputs_of(params)(images)[:, 2:]], -1)

        return outputs

    params, accuracies = {"limit": jnp.float32(0.05)}, []
    for surrogates in (None, {"open": outputs_of}):
        evaluator = evaluation.Evaluator(hidden, batch_size=12,
                                         surrogates_of=surrogates)  # fmt: skip
        outputs = evaluator.attack(AWARE, params, examples, key, EPSILON).logits
        predicted = np.argmax(outputs[:, :2], axis=-1)
        accuracies.append(np.mean(predicted == examples.labels))
    assert accuracies == [1, 0]

"""Certificates against a slow implementation of the paper and closed forms."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.evaluation.smoothed_models import (
    linear,
    linear_params,
    make_examples,
    numpy_perceptron,
    perceptron,
    perceptron_params,
    signed_distances,
)
from wbad_jax.evaluation import (
    Decision,
    SmoothedEvaluator,
    certify_votes,
    decide_votes,
    violations,
)
from wbad_jax.evaluation.smoothing import draw_noise, least_samples, lower_bound

SIGMA = 0.4
draw = jax.jit(draw_noise, static_argnums=2)


def evaluate(logits_fn_of=perceptron, **settings):
    settings = {"batch_size": 4, "noise_batch": 16, **settings}
    return SmoothedEvaluator(logits_fn_of, **settings)


def slow_votes(params, image, key, sigma, num_samples):
    """One image, one draw at a time: what the compiled loop has to count."""
    votes = np.zeros(params["second"].shape[1], int)
    for index in range(num_samples):
        noise = np.asarray(draw(key, np.array([index]), image.shape)[0])
        votes[np.argmax(numpy_perceptron(params, image + sigma * noise))] += 1
    return votes


def slow_certify(selection, votes, sigma, alpha):
    """CERTIFY as the paper's pseudocode has it; None for ABSTAIN."""
    chosen = int(np.argmax(selection))
    test = stats.binomtest(int(votes[chosen]), int(votes.sum()), alternative="greater")
    bound = test.proportion_ci(1 - alpha, method="exact").low
    if bound <= 0.5:
        return None, 0.0
    return chosen, sigma * stats.norm.ppf(bound)


@pytest.mark.fast
def test_certify_is_that_of_the_paper(key):
    """The same noise, three classes, a last loop that is filled in part."""
    examples, params = make_examples(5, classes=3), perceptron_params()
    evaluator = evaluate()
    found = evaluator.certify(
        params, examples, key, SIGMA, num_selection=21, num_samples=150, alpha=0.01
    )
    own = []
    for part, count in ((0, 21), (1, 150)):
        keys = examples.keys(jax.random.fold_in(key, part))
        pairs = zip(examples.images, keys, strict=True)
        own.append([slow_votes(params, x, k, SIGMA, count) for x, k in pairs])
    selection, votes = np.array(own[0]), np.array(own[1])
    np.testing.assert_array_equal(found.votes, votes)
    assert np.all(votes.sum(axis=1) == 150)
    for index in range(5):
        chosen, radius = slow_certify(selection[index], votes[index], SIGMA, 0.01)
        assert found.abstained[index] == (chosen is None)
        assert found.radius[index] == pytest.approx(radius, abs=1e-6)
        assert chosen in (None, found.predicted[index])
    assert 0 < found.abstained.sum() < 5


@pytest.mark.fast
def test_the_selected_class_is_certified_not_the_winner_of_the_other_sample():
    votes = np.array([[990, 10], [990, 10]])
    selection = np.array([[9, 1], [1, 9]])
    found = certify_votes(selection, votes, 0.5, 0.001)
    assert found.predicted.tolist() == [0, 1]
    assert found.abstained.tolist() == [False, True]
    assert found.radius[1] == 0


@pytest.mark.fast
def test_the_bound_of_a_probability_is_that_of_clopper_and_pearson():
    wins, totals = np.array([0, 1, 30, 77, 100]), np.full(5, 100)
    for alpha in (1e-7, 1e-3, 0.05):
        expected = [
            stats.binomtest(int(k), 100, alternative="greater")
            .proportion_ci(1 - alpha, method="exact").low
            for k in wins
        ]  # fmt: skip
        np.testing.assert_allclose(
            lower_bound(wins, totals, alpha), expected, rtol=1e-6, atol=1e-9
        )


@pytest.mark.fast
def test_a_decision_is_a_binomial_test_of_the_first_two():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(60, [0.45, 0.35, 0.2], size=200)
    votes[:2] = [[30, 30, 0], [0, 0, 60]]
    found = decide_votes(votes, 0.05)
    for row, predicted, abstained in zip(votes, *found, strict=True):
        first, second = (int(v) for v in np.sort(row)[::-1][:2])
        p_value = stats.binomtest(first, first + second, 0.5).pvalue
        assert abstained == (p_value > 0.05)
        assert predicted == np.argmax(row)
    assert 0.1 < found.abstained.mean() < 0.9


@pytest.mark.parametrize(("num_samples", "most_short"), [(500, 0.4), (20_000, 0.08)])
def test_radii_of_a_linear_network_are_just_below_its_margins(
    num_samples, most_short, key
):
    """Under noise p = Phi(margin / sigma): the true radius is the margin itself."""
    examples, params = make_examples(24), linear_params()
    margins = signed_distances(params, examples.images)
    sigma = float(np.abs(margins).mean())
    found = evaluate(linear).certify(
        params, examples, key, sigma, num_samples=num_samples, alpha=1e-6
    )
    sure = ~found.abstained
    assert np.all(found.predicted[sure] == (margins > 0)[sure])
    assert np.all(found.radius <= np.abs(margins))
    p = stats.norm.cdf(np.abs(margins) / sigma)
    share = found.votes[np.arange(24), (margins > 0).astype(int)] / num_samples
    error = np.sqrt(p * (1 - p) / num_samples)
    assert np.all(np.abs(share - p) < 5 * error + 1e-3)
    near = (np.abs(margins) > 0.3 * sigma) & (np.abs(margins) < 1.5 * sigma)
    assert near.sum() > 8
    assert np.all(np.abs(margins)[near] - found.radius[near] < most_short * sigma)


@pytest.mark.fast
@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"noise_batch": 5}])
def test_votes_do_not_depend_on_batches(settings, key):
    examples, params = make_examples(7, classes=3), perceptron_params()
    expected = evaluate().votes(params, examples, key, SIGMA, 33)
    found = evaluate(**settings).votes(params, examples, key, SIGMA, 33)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.fast
def test_votes_do_not_depend_on_neighbours(key):
    examples, params = make_examples(7, classes=3), perceptron_params()
    expected = evaluate().votes(params, examples, key, SIGMA, 33)
    rows = np.array([5, 2])
    alone = examples.subset(rows)
    found = evaluate().votes(params, alone, key, SIGMA, 33)
    np.testing.assert_array_equal(found, expected[rows])
    other = evaluate().votes(params, alone, jax.random.fold_in(key, 1), SIGMA, 33)
    assert np.any(other != found)


@pytest.mark.fast
def test_noise_is_standard_normal_and_not_clipped(key):
    noise = np.asarray(draw_noise(key, np.arange(400), (4, 3, 1)))
    assert noise.shape == (400, 4, 3, 1)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    assert (
        abs(np.corrcoef(noise.reshape(400, -1)[:-1, 0], noise[1:, 0, 0, 0])[0, 1]) < 0.2
    )

    def lowest(params):
        del params
        return lambda images: jax.numpy.stack(
            [images.min(axis=(1, 2, 3)) + 0.1, 0 * images[:, 0, 0, 0]], axis=-1
        )

    # Class 1 is the answer only where a pixel of noise is far below the range.
    votes = evaluate(lowest).votes({}, make_examples(3), key, 1.0, 64)
    assert np.all(votes[:, 1] > 32)


@pytest.mark.fast
def test_nothing_recompiles_for_other_values(key):
    traces = []

    def counted(params):
        traces.append(None)
        return perceptron(params)

    evaluator, examples = evaluate(counted), make_examples(7, classes=3)
    evaluator.certify(
        perceptron_params(), examples, key, SIGMA, num_samples=40, alpha=0.01
    )
    count = len(traces)
    for seed, sigma, number in ((1, 0.1, 64), (2, 1.0, 90)):
        evaluator.certify(
            perceptron_params(seed=seed), examples, jax.random.fold_in(key, seed),
            sigma, num_selection=seed, num_samples=number, alpha=0.1**seed,
        )  # fmt: skip
        evaluator.predict(
            perceptron_params(seed=seed), make_examples(5, 3, seed), key, sigma
        )
    assert len(traces) == count


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive and finite, got 0"),
        ({"sigma": -1.0}, "sigma must be positive and finite, got -1"),
        ({"sigma": float("nan")}, "sigma must be positive"),
        ({"alpha": 0.0}, "alpha must be above 0 and below 1, got 0"),
        ({"alpha": 1.0}, "alpha must be above 0 and below 1, got 1"),
        ({"num_samples": 9}, "num_samples must be at least 10 .* 0.001, got 9"),
        ({"num_selection": 0}, "num_samples must be at least 1, got 0"),
    ],
)
def test_certify_refuses(changes, message, key):
    settings = {"sigma": 0.1, "num_samples": 20, "alpha": 1e-3, **changes}
    with pytest.raises(ValueError, match=message):
        evaluate().certify(perceptron_params(), make_examples(), key, **settings)


@pytest.mark.fast
@pytest.mark.parametrize("alpha", [0.4, 0.05, 1e-3, 1e-7])
def test_the_fewest_samples_that_can_certify(alpha):
    fewest = least_samples(alpha)
    for count, certified in ((fewest, True), (fewest - 1, False)):
        votes = np.array([[count, 0]])
        if count:
            assert certify_votes(votes, votes, 1.0, alpha).abstained[0] != certified


@pytest.mark.fast
def test_a_broken_network_is_not_certified(key):
    def broken(params):
        return lambda images: perceptron(params)(images) / 0.0 * 0.0

    with pytest.raises(ValueError, match="not finite"):
        evaluate(broken).votes(perceptron_params(), make_examples(), key, SIGMA, 20)


@pytest.mark.fast
def test_only_a_significant_other_class_refutes():
    votes = np.array([[100, 0], [100, 0], [100, 0], [50, 50]])
    found = certify_votes(votes, votes, 0.5, 0.01)
    attacked = Decision(np.array([0, 1, 1, 1]), np.array([False, False, True, False]))
    assert violations(found, attacked).tolist() == [False, True, False, False]

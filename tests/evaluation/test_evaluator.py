"""Evaluation of whole sets: padding, per-example results, compilation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks, evaluation

EPSILON = 0.1
# Programs of different batch sizes round differently.
ATOL = 1e-5


def logits_fn_of(params):
    def logits_fn(images):
        hidden = jnp.tanh(images.reshape(images.shape[0], -1) @ params["first"])
        return hidden @ params["second"]

    return logits_fn


def draw_params(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "first": jnp.asarray(rng.normal(size=(12, 8)), jnp.float32),
        "second": jnp.asarray(rng.normal(size=(8, 3)), jnp.float32),
    }


@pytest.fixture
def examples():
    rng = np.random.default_rng(1)
    n = 7
    return evaluation.Examples(
        images=rng.uniform(size=(n, 4, 3, 1)).astype(np.float32),
        labels=rng.integers(0, 3, n).astype(np.int32),
        example_ids=np.array([f"e{i}" for i in range(n)]),
        patient_ids=np.arange(n),
    )


@pytest.mark.fast
@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_batches_have_one_shape_and_mark_padding(size, examples):
    batches = list(examples.batches(size))
    assert {batch.images.shape for batch in batches} == {(size, 4, 3, 1)}
    weights = np.concatenate([batch.weights for batch in batches])
    assert weights.sum() == 7
    np.testing.assert_array_equal(weights[:7], 1)
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(images[:7], examples.images)
    np.testing.assert_array_equal(labels[:7], examples.labels)


@pytest.mark.fast
def test_batches_take_other_images(examples):
    batches = list(examples.batches(4, examples.images / 2))
    images = np.concatenate([batch.images for batch in batches])[:7]
    np.testing.assert_array_equal(images, examples.images / 2)


@pytest.mark.fast
@pytest.mark.parametrize("size", [1, 3, 20])
def test_results_do_not_depend_on_the_batch_size(size, examples, key):
    """Also those of the last, padded batch. FGSM draws nothing per batch."""
    params = draw_params()
    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=size)
    plain = logits_fn_of(params)
    expected = plain(examples.images)
    actual = evaluator.logits(params, examples)
    assert actual.shape == (7, 3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)
    halved = evaluator.logits(params, examples, examples.images / 2)
    np.testing.assert_allclose(halved, plain(examples.images / 2), rtol=0, atol=ATOL)

    attacked = evaluator.attack(attacks.FGSM(), params, examples, key, EPSILON)
    reference = attacks.FGSM()(
        plain, key, examples.images, examples.labels, epsilon=EPSILON
    )
    np.testing.assert_allclose(
        attacked.images, reference.adversarial, rtol=0, atol=ATOL
    )
    np.testing.assert_allclose(attacked.distance, reference.distance, atol=ATOL)
    # Logits are those of the model, not of its rescaled version that attacks see.
    np.testing.assert_allclose(
        attacked.logits, plain(attacked.images), rtol=0, atol=ATOL
    )
    assert np.max(np.abs(attacked.images - examples.images)) > EPSILON / 2
    assert attacked.seconds > 0


@pytest.mark.fast
def test_other_parameters_keys_and_budgets_do_not_recompile(examples, key):
    traces = []

    def counted(params):
        traces.append(None)
        return logits_fn_of(params)

    evaluator = evaluation.Evaluator(counted, batch_size=4)
    attack = attacks.PGD(num_steps=2)
    evaluator.attack(attack, draw_params(), examples, key, EPSILON)
    count = len(traces)
    assert count == 2  # One for clean logits, one for the attack.
    distances = []
    for seed, epsilon in ((1, EPSILON), (2, 0.01), (3, 0.3)):
        result = evaluator.attack(
            attacks.PGD(num_steps=2),  # Equal settings, another object.
            draw_params(seed),
            examples,
            jax.random.fold_in(key, seed),
            epsilon,
        )
        distances.append(result.distance.max())
    assert len(traces) == count
    np.testing.assert_allclose(distances, [EPSILON, 0.01, 0.3], rtol=1e-5)
    evaluator.attack(attacks.FGSM(), draw_params(), examples, key, EPSILON)
    assert len(traces) == count + 1


@pytest.mark.fast
def test_attacks_see_logits_in_units_of_their_typical_margin(examples, key):
    """So a classifier with larger logits is attacked with the same trade-offs."""
    # One value of the constant: a search over it would make up for the scale.
    attack = attacks.CarliniWagnerL2(num_steps=10, num_searches=1)
    images = []
    for scale in (1.0, 1000.0):
        params = draw_params()
        params["second"] *= scale
        evaluator = evaluation.Evaluator(logits_fn_of, batch_size=7)
        images.append(evaluator.attack(attack, params, examples, key, 1.0).images)
    np.testing.assert_allclose(images[0], images[1], rtol=0, atol=1e-3)


@pytest.mark.fast
def test_a_classifier_that_cannot_tell_images_apart(examples, key):
    """Its typical margin is 0, by which nothing may be divided."""
    params = jax.tree.map(jnp.zeros_like, draw_params())
    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=4)
    attacked = evaluator.attack(attacks.FGSM(), params, examples, key, EPSILON)
    np.testing.assert_array_equal(attacked.logits, 0)
    assert np.all(np.isfinite(attacked.images))


@pytest.mark.fast
def test_surrogates_lend_their_gradients(examples, key):
    """The model hides its gradient; with the open model beside it, PGD succeeds."""

    def hidden(params):
        logits_fn = logits_fn_of(params)
        return lambda x: jax.lax.stop_gradient(logits_fn(x))

    params, attack = draw_params(), attacks.PGD(num_steps=5)
    moved = {}
    for name, surrogates in (("none", None), ("open", {"open": logits_fn_of})):
        evaluator = evaluation.Evaluator(hidden, batch_size=4, surrogates_of=surrogates)
        attacked = evaluator.attack(attack, params, examples, key, EPSILON)
        moved[name] = np.take_along_axis(
            attacked.logits, examples.labels[:, None], axis=-1
        )
    assert np.mean(moved["open"]) < np.mean(moved["none"]) - 0.5


@pytest.mark.fast
def test_equal_keys_give_equal_draws(examples, key):
    # Steps too short to reach the corners of the ball, which all starts share.
    attack = attacks.PGD(num_steps=1, step_size=0.01, start="random")
    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=3)
    first, again, other = (
        evaluator.attack(attack, draw_params(), examples, k, EPSILON).images
        for k in (key, key, jax.random.fold_in(key, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert np.max(np.abs(first - other)) > 0
    # Batches draw differently: the same image twice gets two starts.
    twice = evaluation.Examples(
        images=examples.images[[0] * 6],
        labels=examples.labels[[0] * 6],
        example_ids=examples.example_ids[:6],
        patient_ids=examples.patient_ids[:6],
    )
    images = evaluator.attack(attack, draw_params(), twice, key, EPSILON).images
    assert np.max(np.abs(images[0] - images[3])) > 0


def test_draws_follow_the_example_and_not_its_batch(examples, key):
    attack = attacks.PGD(num_steps=1, step_size=0.01, start="random")
    params = draw_params()
    images = [
        evaluation.Evaluator(logits_fn_of, batch_size=size)
        .attack(attack, params, examples, key, EPSILON)
        .images
        for size in (2, 5)
    ]
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)


@pytest.mark.fast
def test_some_examples_alone_get_what_they_get_among_all(examples, key):
    """Attacks see the same scale of logits, and each example its own draws."""
    attack = attacks.PGD(num_steps=2, start="random")
    params, rows = draw_params(), np.array([5, 1, 6])
    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=2)
    all_of_them = evaluator.attack(attack, params, examples, key, EPSILON)
    some = evaluator.attack(attack, params, examples, key, EPSILON, rows=rows)
    for field in ("images", "logits", "distance"):
        np.testing.assert_array_equal(
            getattr(some, field), getattr(all_of_them, field)[rows]
        )


@pytest.mark.fast
def test_batches_found_again_are_not_computed(examples, key):
    attack, params, made = attacks.FGSM(), draw_params(), {}

    def recall(index, make):
        return (
            made.setdefault(index, None) or made.update({index: make()}) or made[index]
        )

    run = evaluation.Evaluator(logits_fn_of, batch_size=3).attack
    first = run(attack, params, examples, key, EPSILON, recall=recall)
    assert list(made) == [0, 1, 2]
    logits, seconds = made[1][1] + 1, made[1][-1]
    made[1] = (made[1][0], logits, made[1][2], seconds + 100)
    again = run(attack, params, examples, key, EPSILON, recall=recall)
    np.testing.assert_array_equal(again.logits[3:6], first.logits[3:6] + 1)
    np.testing.assert_array_equal(again.logits[:3], first.logits[:3])
    assert again.seconds == pytest.approx(first.seconds + 100)


@pytest.mark.fast
def test_each_example_is_attacked_with_its_own_data(examples, key):
    """Towards its own twin, also in a batch of some of them, and in padding."""
    twins = examples.images[::-1].copy()
    params = draw_params()
    logits = np.asarray(logits_fn_of(params)(jnp.asarray(examples.images)))
    # Right at the start: a wrong decision is not moved.
    examples = dataclasses.replace(examples, labels=np.argmax(logits, axis=-1))
    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=4)
    attack = attacks.TwinAttack(norm="l2", fractions=(1.0,))
    rows = np.array([6, 0, 2, 5, 1])
    found = evaluator.attack(
        attack, params, examples, key, 3.0, rows=rows, data={"twins": twins}
    )
    for image, row in zip(found.images, rows, strict=True):
        towards = [
            np.abs(
                image - examples.images[row] - share * (twins - examples.images)[row]
            )
            for share in (0, 0.5, 1)
        ]
        assert min(np.max(difference) for difference in towards) < 1e-5
    assert np.max(found.distance) > 0.1


@pytest.mark.fast
def test_attacks_that_need_parameters_get_them(examples, key):
    """Other parameters of the same program."""

    class Moved:
        def __init__(self, params):
            self.size = params["first"][0, 0]

        def __call__(self, logits_fn, key, images, labels, *, epsilon, surrogates=None):
            return attacks.finish(
                logits_fn, images, images + self.size, labels, norm="linf",
                epsilon=epsilon, bounds=(-9.0, 9.0),
            )  # fmt: skip

    evaluator = evaluation.Evaluator(logits_fn_of, batch_size=4)
    attack = evaluation.AttackOfParameters(Moved, "linf")
    for seed in (0, 1):
        params = draw_params(seed)
        found = evaluator.attack(attack, params, examples, key, 5.0)
        size = float(params["first"][0, 0])
        np.testing.assert_allclose(found.images - examples.images, size, atol=1e-6)


@pytest.mark.fast
def test_only_the_surrogates_named_are_followed(examples, key):
    def hidden(params):
        logits_fn = logits_fn_of(params)
        return lambda x: jax.lax.stop_gradient(logits_fn(x))

    def never(params):
        raise AssertionError("followed")

    evaluator = evaluation.Evaluator(
        hidden, batch_size=4, surrogates_of={"open": logits_fn_of, "other": never}
    )
    attack, params = attacks.PGD(num_steps=5), draw_params()
    moved = {
        names: evaluator.attack(
            attack, params, examples, key, EPSILON, surrogates=names
        ).distance.max()
        for names in ((), ("open",))
    }
    assert moved[("open",)] > EPSILON / 2
    with pytest.raises(AssertionError, match="followed"):
        evaluator.attack(attack, params, examples, key, EPSILON)

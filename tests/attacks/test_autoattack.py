"""AutoAttack: which attacks, in which order, on what, and in batches of one shape."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

PIXELS = (6, 5, 1)
APGD = attacks.APGD(num_steps=5, stop_on_success=True)
SQUARE = attacks.Square(num_queries=40)
SHORT = (("apgd", APGD), ("square", SQUARE))


def network(weights, images):
    flat = images.reshape(len(images), -1) - 0.5
    return jnp.tanh(3 * flat @ weights[0]) @ weights[1]


def half_masked(weights, images):
    """Without gradient where the first pixel is bright."""
    bright = images[:, :1, :1] > 0.5
    return network(weights, jnp.where(bright, jax.lax.stop_gradient(images), images))


def make_problem(n, classes=2):
    rng = np.random.default_rng(3)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 16)) / np.sqrt(size), jnp.float32),
        jnp.asarray(rng.normal(size=(16, classes)), jnp.float32),
    )
    images = rng.uniform(0.2, 0.8, (n, *PIXELS)).astype(np.float32)
    return weights, images, np.argmax(network(weights, images), -1).astype(np.int32)


def test_suites_are_the_published_ones_but_for_two_classes():
    standard = attacks.AutoAttack().suite(10)
    assert list(standard) == ["apgd", "apgd_targeted", "fab_targeted", "square"]
    assert standard["apgd"].num_steps == 100
    assert standard["apgd"].loss == "cross_entropy"
    assert standard["apgd_targeted"].loss == "targeted_dlr"
    assert standard["apgd_targeted"].num_targets == 9
    assert standard["fab_targeted"].num_targets == 9
    assert standard["square"].num_queries == 5000
    assert not standard["square"].rescale_schedule
    binary = attacks.AutoAttack(norm="l2").suite(2)
    restarts = ["apgd", "apgd_2", "apgd_3", "apgd_4", "apgd_5"]
    assert list(binary) == [*restarts, "fab", "fmn", "subband", "square"]
    assert binary["apgd"].loss == "margin"
    assert all(attack.norm == "l2" for attack in binary.values())


@pytest.mark.parametrize("norm", attacks.NORMS)
def test_three_classes_have_no_ratio_of_four_logits(norm):
    suite = attacks.AutoAttack(norm=norm).suite(3)
    assert suite["apgd_targeted"].loss == "targeted_margin"


def test_attacks_of_another_norm_are_refused():
    with pytest.raises(
        ValueError, match="must have the norm 'l2', but apgd has 'linf'"
    ):
        attacks.AutoAttack(norm="l2", attacks=SHORT)


def test_it_is_the_worst_case_of_its_attacks(key):
    weights, images, labels = make_problem(24)

    @functools.partial(jax.jit, static_argnums=0)
    def run(attack, key):
        logits_fn = functools.partial(half_masked, weights)
        return attack(logits_fn, key, images, labels, epsilon=0.06)

    together = run(attacks.AutoAttack(attacks=SHORT), key)
    apgd = run(APGD, jax.random.fold_in(key, 0))
    square = run(SQUARE, jax.random.fold_in(key, 1))
    np.testing.assert_array_equal(together.success, apgd.success | square.success)
    assert np.sum(together.success) > max(np.sum(apgd.success), np.sum(square.success))
    # The first success stays.
    kept = np.asarray(apgd.success)
    np.testing.assert_array_equal(
        np.asarray(together.adversarial)[kept], np.asarray(apgd.adversarial)[kept]
    )


def test_a_batch_that_is_broken_skips_the_attacks_that_are_left(key):
    weights, images, labels = make_problem(4)
    calls = []

    class Counting(attacks.PGD):
        def __call__(self, logits_fn, key, images, labels, **options):
            jax.debug.callback(lambda: calls.append(1))
            return super().__call__(logits_fn, key, images, labels, **options)

    suite = attacks.AutoAttack(attacks=(("one", attacks.PGD()), ("two", Counting())))
    logits_fn = functools.partial(network, weights)
    for epsilon, expected in ((0.9, 0), (0.0, 1)):
        jax.block_until_ready(suite(logits_fn, key, images, labels, epsilon=epsilon))
        jax.effects_barrier()
        assert len(calls) == expected


@pytest.fixture(scope="module")
def suite():
    attack = attacks.AutoAttack(attacks=SHORT)
    return attacks.CompiledSuite(half_masked, attack, batch_size=8)


def test_a_compiled_suite_agrees_with_one_batch_whatever_the_batches(suite, key):
    weights, images, labels = make_problem(21)
    result = suite(weights, key, images, labels, epsilon=0.06, progress=False)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(21))
    logits_fn = functools.partial(half_masked, weights)
    whole = attacks.AutoAttack(attacks=SHORT)(
        logits_fn, keys, images, labels, epsilon=0.06
    )
    np.testing.assert_array_equal(result.success, whole.success)
    np.testing.assert_allclose(result.margin, whole.margin, atol=1e-3)
    assert set(result.broken_by) == {"", "apgd", "square"}
    np.testing.assert_array_equal(result.broken_by != "", result.success)
    assert result.robust_accuracy == np.mean(~np.asarray(whole.success))
    moved = np.abs(result.adversarial - images).max((1, 2, 3))
    np.testing.assert_allclose(moved, result.distance, rtol=1e-6)
    assert moved.max() <= 0.06 * (1 + 1e-6)


def test_later_attacks_see_only_what_is_still_robust_in_one_shape(key):
    weights, images, labels = make_problem(21)
    seen = []

    def counting(weights, images):
        jax.debug.callback(lambda: seen.append(images.shape[0]))
        return half_masked(weights, images)

    suite = attacks.CompiledSuite(
        counting, attacks.AutoAttack(attacks=SHORT), batch_size=8
    )
    first = suite(weights, key, images, labels, epsilon=0.06, progress=False)
    jax.effects_barrier()
    assert set(seen) == {8}
    robust_before_square = np.sum(first.broken_by == "square") + np.sum(~first.success)
    assert 0 < robust_before_square <= 16  # Of 21: a third batch is not needed.


def test_a_compiled_suite_does_not_compile_again(suite, key):
    weights, images, labels = make_problem(21)
    suite(weights, key, images, labels, epsilon=0.06, progress=False)
    steps = list(suite._steps.values())
    before = [step._cache_size() for step in steps]
    fresh = jax.tree.map(lambda leaf: 1.1 * leaf, weights)
    suite(fresh, jax.random.key(9), 0.9 * images, labels, epsilon=0.05, progress=False)
    assert [step._cache_size() for step in steps] == before == [1, 1]


def test_misclassified_images_need_no_attack(suite, key):
    weights, images, labels = make_problem(9)
    result = suite(weights, key, images, 1 - labels, epsilon=0.1, progress=False)
    assert np.all(result.broken_by == "clean")
    np.testing.assert_array_equal(result.adversarial, images)


def test_models_that_couple_images_or_draw_are_refused(key):
    weights, images, labels = make_problem(9)
    draws = iter(range(100))

    def normalised(weights, images):
        return network(weights, images) / jnp.std(network(weights, images))

    def random(weights, images):
        shift = jax.pure_callback(
            lambda: np.float32(next(draws)), jax.ShapeDtypeStruct((), jnp.float32)
        )
        return network(weights, images) + 1e-4 * shift

    attack = attacks.AutoAttack(attacks=SHORT)
    for model, message in (
        (normalised, "batch normalisation in training mode"),
        (random, "two passes differ .*expectation_over_transformation"),
    ):
        suite = attacks.CompiledSuite(model, attack, batch_size=8)
        with pytest.raises(ValueError, match=message):
            suite(weights, key, images, labels, epsilon=0.1)


def test_attacks_of_one_kind_share_a_program_but_not_their_draws(key):
    weights, images, labels = make_problem(64)
    draw = attacks.RandomNoise(num_samples=1, draw="extreme")
    twice = attacks.AutoAttack(attacks=(("one", draw), ("two", draw)))
    suite = attacks.CompiledSuite(network, twice, batch_size=32)
    result = suite(weights, key, images, labels, epsilon=0.25, progress=False)
    assert len(suite._steps) == 1
    assert set(result.broken_by) == {"", "one", "two"}


def test_of_the_binary_suite_two_attacks_follow_surrogates():
    suite = attacks.AutoAttack()
    names = [name for name in suite.suite(2) if suite.follows_surrogates(name)]
    assert names == ["apgd", "subband"]
    assert attacks.AutoAttack(attacks=SHORT).follows_surrogates("square")

"""DDN, FMN and FAB against closed forms, a solver and Carlini-Wagner."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_hyperplane import shortest_l1, shortest_l2, shortest_linf

from wbad_jax import attacks

BATCH, PIXELS = 6, (3, 5, 2)
ATTACKS = {
    "ddn": attacks.DDN(num_steps=150),
    "fmn_l2": attacks.FMN(norm="l2"),
    "fmn_linf": attacks.FMN(),
    "fmn_l1": attacks.FMN(norm="l1"),
    "fab_l2": attacks.FAB(norm="l2", num_steps=40),
    "fab_linf": attacks.FAB(num_steps=40),
}
each_attack = pytest.mark.parametrize("name", ATTACKS)
DUAL = {"l2": 2, "linf": 1, "l1": np.inf}


def linear(weights, images):
    """Logits `scale * (images - 0.5) . w + shift`, one w per class."""
    flat = (images - 0.5).reshape(len(images), -1)
    return weights["scale"] * (flat @ weights["w"]) + weights["shift"]


def mlp(weights, images):
    hidden = jnp.tanh(6 * (images - 0.5).reshape(len(images), -1) @ weights["hidden"])
    return hidden @ weights["output"]


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, images, labels, mask=None, **options):
    return attack(
        functools.partial(model, weights), jax.random.key(0), images, labels,
        mask=np.ones(PIXELS) if mask is None else mask, **options,
    )  # fmt: skip


def make_linear(classes, spread=0.2):
    rng = np.random.default_rng(classes)
    w = jnp.asarray(rng.normal(size=(int(np.prod(PIXELS)), classes)), jnp.float32)
    weights = {"w": w, "scale": jnp.float32(1), "shift": jnp.float32(0)}
    images = rng.uniform(0.5 - spread, 0.5 + spread, (BATCH, *PIXELS))
    images = jnp.asarray(images, jnp.float32)
    return weights, images, jnp.argmax(linear(weights, images), -1)


def differences(weights, images, labels):
    """Per example and wrong class, what is missing to it and the gradient of that."""
    w = np.asarray(weights["w"], np.float64)
    for image, label in zip(np.asarray(images, np.float64), labels, strict=True):
        flat = image.ravel() - 0.5
        yield [
            (flat @ (w[:, label] - w[:, other]), w[:, other] - w[:, label])
            for other in range(w.shape[1])
            if other != label
        ]


def closed_form(norm, weights, images, labels, mask=1):
    mask = np.broadcast_to(mask, PIXELS).ravel()
    return np.asarray([
        min(gap / np.linalg.norm(mask * w, DUAL[norm]) for gap, w in of_image)
        for of_image in differences(weights, images, labels)
    ])  # fmt: skip


def solved(norm, weights, images, labels):
    """The smallest distance within the box, by a solver."""
    solve = {"linf": shortest_linf, "l2": shortest_l2, "l1": shortest_l1}[norm]
    flat = np.asarray(images, np.float64).reshape(BATCH, -1)
    return np.asarray([
        min(solve(image, w, gap, 0.0, 1.0) for gap, w in of_image)
        for image, of_image in zip(
            flat, differences(weights, images, labels), strict=True
        )
    ])  # fmt: skip


@each_attack
@pytest.mark.parametrize("classes", [2, 10])
def test_reaches_the_closest_point_of_a_linear_boundary(name, classes):
    attack, problem = ATTACKS[name], make_linear(classes)
    result = run(attack, linear, *problem)
    expected = closed_form(attack.norm, *problem)
    ratio = np.asarray(result.distance) / expected
    print(name, np.round(ratio, 4))
    assert np.all(result.success)
    assert np.all(ratio >= 1 - 1e-4)
    assert np.median(ratio) < 1.0005
    # DDN and FMN follow the highest wrong logit, which need not be the nearest class.
    assert ratio.max() < (1.2 if classes == 10 and name[:3] != "fab" else 1.0005)


@each_attack
def test_reaches_the_closest_point_where_the_pixel_range_binds(name):
    attack = ATTACKS[name]
    weights, _, _ = make_linear(2)
    rng = np.random.default_rng(3)
    images = rng.beta(0.3, 0.3, (20 * BATCH, *PIXELS)).astype(np.float32)
    logits = linear(weights, images)
    # From near the boundary to as far as they come.
    chosen = np.argsort(jnp.abs(logits[:, 1] - logits[:, 0]))[9::22]
    images, labels = jnp.asarray(images[chosen]), jnp.argmax(logits[chosen], -1)
    result = run(attack, linear, weights, images, labels)
    expected = solved(attack.norm, weights, images, labels)
    free = closed_form(attack.norm, weights, images, labels)
    print(name, np.round(np.asarray(result.distance) / expected, 4))
    assert np.max(expected / free) > 1.05
    assert np.all(result.success)
    assert np.all(result.distance >= expected * (1 - 1e-4))
    np.testing.assert_allclose(result.distance, expected, rtol=0.02)


@each_attack
def test_mask_gives_the_closest_point_of_the_open_pixels(name):
    attack, problem = ATTACKS[name], make_linear(2)
    mask = np.ones(PIXELS)
    mask[:, 1:3] = 0
    result = run(attack, linear, *problem, mask=mask)
    expected = closed_form(attack.norm, *problem, mask)
    np.testing.assert_allclose(result.distance, expected, rtol=0.01)


@each_attack
def test_scale_and_shift_of_the_logits_change_nothing(name):
    attack, (weights, images, labels) = ATTACKS[name], make_linear(10)
    plain = run(attack, linear, weights, images, labels)
    for scale, shift in ((1e5, 0), (1e-5, 0), (1, 20), (1, -20)):
        changed = weights | {"scale": jnp.float32(scale), "shift": jnp.float32(shift)}
        result = run(attack, linear, changed, images, labels)
        assert np.all(result.success)
        np.testing.assert_allclose(result.distance, plain.distance, rtol=1e-3)


@pytest.fixture(scope="module", params=[2, 10])
def smooth(request):
    """A small network, images, labels, and the distances of a long Carlini-Wagner."""
    rng = np.random.default_rng(5)
    size = int(np.prod(PIXELS))
    weights = {
        "hidden": jnp.asarray(rng.normal(size=(size, 16)) / np.sqrt(size), jnp.float32),
        "output": jnp.asarray(rng.normal(size=(16, request.param)), jnp.float32),
    }
    images = jnp.asarray(rng.uniform(0.1, 0.9, (96, *PIXELS)), jnp.float32)
    problem = (weights, images, jnp.argmax(mlp(weights, images), -1))
    attack = attacks.CarliniWagnerL2(
        num_searches=6, num_steps=300, learning_rate=3e-3, initial_const=0.1
    )
    reference = run(attack, mlp, *problem)
    assert np.all(reference.success)
    return problem, np.asarray(reference.distance)


@pytest.mark.parametrize("name", ["ddn", "fmn_l2", "fab_l2"])
def test_not_farther_than_carlini_wagner_on_a_network(name, smooth):
    problem, reference = smooth
    result = run(ATTACKS[name], mlp, *problem)
    ratio = np.asarray(result.distance) / reference
    print(name, f"/ cw: median {np.median(ratio):.4f}, max {ratio.max():.4f}")
    assert np.all(result.success)
    assert np.median(result.distance) <= 1.05 * np.median(reference)
    assert np.median(ratio) < 1.001


def test_fmn_and_fab_agree_in_linf_on_a_network(smooth):
    problem, _ = smooth
    results = [run(ATTACKS[name], mlp, *problem) for name in ("fmn_linf", "fab_linf")]
    ratio = np.asarray(results[0].distance / results[1].distance)
    print(
        f"fmn / fab: median {np.median(ratio):.4f}, range {ratio.min()}..{ratio.max()}"
    )
    assert np.all(results[0].success & results[1].success)
    np.testing.assert_allclose(np.median(ratio), 1, atol=0.005)


def test_restarts_and_targets_of_fab_only_help(smooth):
    problem, _ = smooth
    distances = {
        name: np.asarray(run(attack, mlp, *problem).distance)
        for name, attack in {
            "one": attacks.FAB(num_steps=20, num_targets=1),
            "more targets": attacks.FAB(num_steps=20, num_targets=9),
            "more restarts": attacks.FAB(num_steps=20, num_targets=1, restarts=3),
        }.items()
    }
    for name in ("more targets", "more restarts"):
        # The secant steps at the end may stop a little earlier from a closer success.
        assert np.all(distances[name] <= 1.002 * distances["one"]), name
        gain = np.sum(distances[name] < 0.99 * distances["one"])
        print(name, "closer by 1 %:", gain)


@each_attack
def test_budgeted_success_is_decided_by_the_closest_distance(name):
    attack, problem = ATTACKS[name], make_linear(2)
    expected = closed_form(attack.norm, *problem)
    factor = np.where(np.arange(BATCH) % 2 == 0, 0.95, 1.05)
    epsilon = jnp.asarray(factor * expected, jnp.float32)
    result = run(attack, linear, *problem, epsilon=epsilon)
    np.testing.assert_array_equal(result.success, factor > 1)
    # Without a success the budget is used up in the direction of the boundary.
    margin = np.asarray(attacks.margin(linear(*problem[:2]), problem[2]))
    failed = factor < 1
    np.testing.assert_allclose(
        np.asarray(result.margin)[failed], 0.05 * margin[failed], rtol=0.1
    )


@each_attack
def test_a_model_without_gradients_gives_an_honest_failure(name):
    def constant(weights, images):
        score = jnp.stack([jnp.ones(len(images)), jnp.zeros(len(images))], -1)
        return score + 0 * weights["scale"] * jnp.sum(images)

    weights, images, _ = make_linear(2)
    labels = jnp.arange(BATCH) % 2  # Half of the images are wrong already.
    result = run(ATTACKS[name], constant, weights, images, labels)
    np.testing.assert_array_equal(result.success, labels == 1)
    np.testing.assert_array_equal(
        result.distance, np.where(labels == 1, 0.0, np.inf).astype(np.float32)
    )
    np.testing.assert_array_equal(result.adversarial, images)


def test_ddn_replaces_zero_gradients_by_noise():
    def steps(weights, images):
        """Half of the images are in a plateau without a gradient, near its edge."""
        score = linear(weights, images)[:, 1] - linear(weights, images)[:, 0]
        return jnp.stack([jnp.zeros_like(score), jnp.sign(score)], -1)

    weights, images, labels = make_linear(2)
    weights["w"] = weights["w"].at[1:].set(0)  # One pixel decides.
    labels = jnp.argmax(linear(weights, images), -1)
    keys = jax.random.split(jax.random.key(1), BATCH)

    @jax.jit
    def attack(keys, images, labels):
        logits_fn = functools.partial(steps, weights)
        return ATTACKS["ddn"](logits_fn, keys, images, labels)

    result = attack(keys, images, labels)
    assert np.all(result.success)
    again = attack(keys, images.at[0].set(0.9), labels)
    np.testing.assert_array_equal(again.adversarial[1:], result.adversarial[1:])


@each_attack
@pytest.mark.fast
def test_one_gradient_per_step_and_few_forward_passes(name):
    counts = collections.Counter()

    @jax.custom_vjp
    def counted(images):
        jax.debug.callback(lambda: counts.update(["forward"]))
        return jnp.stack([0 * jnp.sum(images, (1, 2, 3)), jnp.sum(images, (1, 2, 3))])

    def forward(images):
        return counted(images), images

    def backward(images, cotangent):
        jax.debug.callback(lambda: counts.update(["backward"]))
        return (cotangent[1][:, None, None, None] * jnp.ones_like(images),)

    counted.defvjp(forward, backward)
    attack = type(ATTACKS[name])(num_steps=7)
    images = jnp.full((BATCH, *PIXELS), 0.4)
    labels = jnp.arange(BATCH) % 2
    jax.jit(lambda x: attack(lambda z: counted(z).T, jax.random.key(0), x, labels))(
        images
    )
    jax.effects_barrier()
    assert counts["backward"] == 7
    assert counts["forward"] <= 7 + 7  # Clean, last, four that shorten, final.


@pytest.mark.fast
@pytest.mark.parametrize(
    ("attack", "setting", "value"),
    [
        (attacks.DDN, "gamma", 1.0), (attacks.DDN, "initial_epsilon", 0.0),
        (attacks.DDN, "num_steps", 0), (attacks.FMN, "norm", "l3"),
        (attacks.FMN, "step_size", -1.0), (attacks.FMN, "gamma", 0.0),
        (attacks.FAB, "norm", "l1"), (attacks.FAB, "num_targets", 0),
        (attacks.FAB, "backward", 1.0), (attacks.FAB, "overshoot", 0.9),
        (attacks.FAB, "restarts", 0), (attacks.FAB, "max_bias", -0.1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(attack, setting, value):
    with pytest.raises(ValueError, match=setting):
        attack(**{setting: value})

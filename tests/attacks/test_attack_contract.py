"""What every attack must honour, whatever its algorithm."""

import collections
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks


@dataclasses.dataclass(frozen=True)
class Told:
    """An attack that needs more data than images, with some made up for it."""

    attack: object

    @property
    def norm(self):
        return self.attack.norm

    def __call__(self, logits_fn, key, images, labels, **options):
        bounds = options.get("bounds", (0.0, 1.0))
        model = (options.get("surrogates") or {}).get("exact", logits_fn)
        far = attacks.FGSM()(
            model, key, images, labels, epsilon=bounds[1] - bounds[0], bounds=bounds
        ).adversarial
        if isinstance(self.attack, attacks.TwinAttack):
            data = {"twins": far}
        elif isinstance(self.attack, attacks.TemplateAttack):
            sign = jnp.where(labels == self.attack.positive, -1, 1)[:, None, None, None]
            data = {"templates": sign * (far - images), "places": PLACES}
        else:
            data = {"score_fn": lambda x: jnp.max(x, (1, 2, 3)), "score_limit": jnp.inf}
        return self.attack(logits_fn, key, images, labels, **data, **options)


PLACES = np.array([[1, 0], [0, 0]])
BATCH = 6
# Odd and non-square; one and three channels; two and ten classes.
SHAPES = {"grey_2_classes": ((5, 7, 1), 2), "colour_10_classes": ((6, 3, 3), 10)}
ATTACKS = {
    "fgsm_linf": attacks.FGSM(),
    "pgd_linf": attacks.PGD(num_steps=5),
    "pgd_linf_random": attacks.PGD(num_steps=4, restarts=2, start="random"),
    "pgd_l1": attacks.PGD(norm="l1", num_steps=4),
    "pgd_last": attacks.PGD(num_steps=4, restarts=2, start="random", keep="last"),
    "apgd_linf": attacks.APGD(num_steps=6),
    "apgd_l2": attacks.APGD(norm="l2", num_steps=5, restarts=2, stop_on_success=True),
    "apgd_l1": attacks.APGD(norm="l1", num_steps=8, widened=True),
    "pgd_adam": attacks.PGD(num_steps=4, optimizer="adam", schedule="cosine"),
    "fgsm_rs": attacks.RandomStartFGSM(),
    "bim_l2": attacks.BIM(norm="l2", num_steps=4),
    "mim_linf": attacks.MIM(num_steps=4),
    "pgd_l2": attacks.PGD(norm="l2", num_steps=4, restarts=2, loss="cross_entropy"),
    "cw_closest": attacks.CarliniWagnerL2(
        num_searches=3, num_steps=20, initial_const=0.1
    ),
    "cw_confident": attacks.CarliniWagnerL2(
        num_searches=2, num_steps=20, confidence=0.1, select="confident"
    ),
    "signed_score": attacks.SignedScore(num_steps=5),
    "patches": attacks.PhysicalAttack(shapes=4, num_steps=15, restarts=3),
    "sparse_pixels": attacks.SparsePixels(num_pixels=20, num_steps=5),
    "twin_l2": Told(attacks.TwinAttack(norm="l2")),
    "template": Told(attacks.TemplateAttack()),
    "detector_l2": Told(attacks.DetectorAwarePGD(norm="l2", num_steps=5, restarts=2)),
    "subband_linf": attacks.SubbandPGD(num_steps=4, level=1),
    "subband_l2": attacks.SubbandPGD(
        norm="l2", num_steps=4, restarts=2, momentum=0.5, level=1, bands=(1,)
    ),
    "low_pass": attacks.LowPassPGD(num_steps=4, share=0.5),
    "coefficients_linf": attacks.CoefficientPGD(num_steps=4, level=1),
    "coefficients_l2": attacks.CoefficientPGD(
        norm="l2", num_steps=4, level=1, unit="deviation"
    ),
    "threshold_crossing": attacks.ThresholdCrossing(
        thresholds=0.1, level=1, rounds=4, inner=attacks.PGD(num_steps=4)
    ),
    "threshold_estimator": attacks.ThresholdEstimatorAttack(
        inner=attacks.PGD(norm="l2", num_steps=4)
    ),
    "warm_starts": attacks.WarmStarts(
        corner_levels=(1,), inner=attacks.PGD(num_steps=4)
    ),
    "square_linf": attacks.Square(num_queries=30),
    "square_l2": attacks.Square(norm="l2", num_queries=50, restarts=2),
    "coarse_linf": attacks.CoarseSearch(num_queries=50, block=2),
    "coarse_l2": attacks.CoarseSearch(norm="l2", num_queries=100, block=1),
    "noise_linf": attacks.RandomNoise(num_samples=30, draw="extreme"),
    "noise_l2": attacks.RandomNoise(norm="l2", num_samples=1000),
    "ddn": attacks.DDN(num_steps=20, initial_epsilon=0.3),
    "fmn_linf": attacks.FMN(num_steps=15),
    "fmn_l2": attacks.FMN(norm="l2", num_steps=15),
    "fmn_l1": attacks.FMN(norm="l1", num_steps=15),
    "fab_linf": attacks.FAB(num_steps=6),
    "fab_l2_targeted": attacks.FAB(norm="l2", num_steps=5, restarts=2, num_targets=3),
}
RANDOM = (
    "fgsm_rs", "pgd_linf_random", "pgd_last", "pgd_l2", "apgd_linf", "apgd_l2",
    "apgd_l1",
)  # fmt: skip
RANDOM += ("coarse_linf", "coarse_l2", "patches", "detector_l2", "subband_l2")
RANDOM += ("square_linf", "square_l2", "noise_linf", "noise_l2", "fab_l2_targeted")
# Float32 sums in another order; a sign attack may then move single pixels elsewhere.
MARGIN_TOLERANCE = 1e-3
TRACES = collections.Counter()

# Close relatives of others, or made of others, whose programs take long to compile.
SLOW = (
    "apgd_l1", "apgd_l2", "bim_l2", "coarse_l2", "coefficients_l2", "cw_confident",
    "detector_l2", "fmn_l1", "fmn_l2", "low_pass", "mim_linf", "noise_l2", "pgd_adam",
    "pgd_last", "pgd_linf_random", "signed_score", "subband_l2", "threshold_crossing",
    "threshold_estimator", "warm_starts",
)  # fmt: skip
# One of each kind, of which colours and ten classes are always tried too.
COLOURED = (
    "apgd_linf", "cw_closest", "fab_l2_targeted", "fgsm_linf", "pgd_l2", "square_linf",
    "sparse_pixels", "template",
)  # fmt: skip


def quick(name, shape="grey_2_classes"):
    """Whether a test of an attack is among the default ones."""
    return name not in SLOW and (shape == "grey_2_classes" or name in COLOURED)


each_attack = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if quick(n) else [pytest.mark.slow]) for n in ATTACKS],
)
each_attack_and_shape = pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(n, s, marks=[] if quick(n, s) else [pytest.mark.slow])
        for n, s in itertools.product(ATTACKS, SHAPES)
    ],
)


def make_problem(shape="grey_2_classes"):
    """A small smooth network, images near mid-range and the labels it gives them."""
    pixels, classes = SHAPES[shape]
    rng = np.random.default_rng(7)
    size = int(np.prod(pixels))
    weights = {
        "hidden": jnp.asarray(rng.normal(size=(size, 16)) / np.sqrt(size), jnp.float32),
        "output": jnp.asarray(rng.normal(size=(16, classes)), jnp.float32),
        "scale": 1.0,  # Of the logits.
        "shift": 0.0,
        "low": 0.0,  # Pixel values that the network sees as 0 and 1.
        "high": 1.0,
    }
    images = jnp.asarray(rng.uniform(0.3, 0.7, (BATCH, *pixels)), jnp.float32)
    return weights, images, predict(weights, images)


def network(weights, images):
    unit = (images - weights["low"]) / (weights["high"] - weights["low"])
    flat = unit.reshape(images.shape[0], -1)
    logits = jnp.tanh(8 * (flat - 0.5) @ weights["hidden"]) @ weights["output"]
    return weights["scale"] * logits + weights["shift"]


def predict(weights, images):
    return jnp.argmax(network(weights, images), axis=-1).astype(jnp.int32)


def call(attack, weights, key, images, labels, epsilon, bounds=(0.0, 1.0), **options):
    TRACES[attack] += 1
    logits_fn = functools.partial(network, weights)
    return attack(
        logits_fn, key, images, labels, epsilon=epsilon, bounds=bounds, **options
    )


run = jax.jit(call, static_argnums=0)


def run_per_example(name, weights, images, labels, epsilon, **changes):
    """One key, epsilon, range and mask per example: one program for several tests."""
    batch = len(images)
    options = {
        "key": jax.random.split(jax.random.key(0), batch),
        "epsilon": jnp.broadcast_to(jnp.asarray(epsilon, jnp.float32), (batch,)),
        "bounds": (jnp.zeros(batch), jnp.ones(batch)),
        "mask": jnp.ones((batch, *images.shape[1:3], 1)),
    } | changes
    return run(ATTACKS[name], weights, images=images, labels=labels, **options)


def sizes(attack, perturbation, dtype):
    order = {"linf": np.inf, "l2": 2, "l1": 1}[attack.norm]
    flat = np.asarray(perturbation, dtype).reshape(len(perturbation), -1)
    return np.linalg.norm(flat, order, axis=1)


def radius(attack, epsilon):
    """A comparable one in L1, where a budget is shared by all pixels."""
    return 10 * epsilon if attack.norm == "l1" else epsilon


@each_attack_and_shape
def test_stays_in_the_ball_and_in_the_pixel_range(name, shape, key):
    weights, images, labels = make_problem(shape)
    attack = ATTACKS[name]
    edge = jnp.where(images > 0.5, 1.0, 0.0)  # Pixels already on the boundary.
    for start, epsilon in itertools.product((images, edge), (0.3, 2 / 255, 1e-4)):
        result = run(attack, weights, key, start, labels, epsilon)
        adversarial, clean = np.asarray(result.adversarial), np.asarray(start)
        assert adversarial.dtype == np.float32
        assert adversarial.shape == clean.shape
        for dtype in (np.float32, np.float64):
            perturbation = adversarial.astype(dtype) - clean.astype(dtype)
            assert sizes(attack, perturbation, dtype).max() <= epsilon * (1 + 1e-6)
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1


@each_attack_and_shape
def test_reports_what_a_fresh_forward_pass_sees(name, shape, key):
    weights, images, labels = make_problem(shape)
    attack = ATTACKS[name]
    epsilon = {"linf": 0.1, "l2": 0.6, "l1": 3.0}[attack.norm]
    result = run(attack, weights, key, images, labels, epsilon)
    logits = np.asarray(network(weights, result.adversarial))
    others = np.where(np.eye(logits.shape[1])[labels] > 0, -np.inf, logits)
    margin = logits[np.arange(BATCH), labels] - others.max(axis=1)
    np.testing.assert_allclose(result.margin, margin, atol=1e-5)
    np.testing.assert_array_equal(result.success, logits.argmax(1) != labels)
    distance = sizes(attack, result.adversarial - images, np.float32)
    np.testing.assert_allclose(result.distance, distance, rtol=1e-5)
    assert np.any(result.success)
    assert np.all(margin < attacks.margin(network(weights, images), labels))


@each_attack
def test_same_key_same_result(name, key):
    weights, images, labels = make_problem()
    first = run(ATTACKS[name], weights, key, images, labels, 0.05)
    second = run(ATTACKS[name], weights, key, images, labels, 0.05)
    other = run(ATTACKS[name], weights, jax.random.key(1), images, labels, 0.05)
    np.testing.assert_array_equal(first.adversarial, second.adversarial)
    if name not in RANDOM:
        np.testing.assert_array_equal(first.adversarial, other.adversarial)


@pytest.mark.parametrize("name", ["fgsm_linf", "pgd_l2", "cw_closest"])
def test_eager_agrees_with_jit(name, key):
    weights, images, labels = make_problem()
    jitted = run(ATTACKS[name], weights, key, images, labels, 0.1)
    eager = call(ATTACKS[name], weights, key, images, labels, 0.1)
    np.testing.assert_allclose(jitted.margin, eager.margin, atol=MARGIN_TOLERANCE)
    np.testing.assert_array_equal(jitted.success, eager.success)


@each_attack
def test_compiles_once_for_new_weights_keys_images_labels_and_budgets(name, key):
    weights, images, labels = make_problem()
    run(ATTACKS[name], weights, key, images, labels, 0.1)
    before = TRACES[ATTACKS[name]]
    for i in range(2):
        fresh = jax.tree.map(lambda leaf, i=i: leaf * (2 + i), weights)
        key = jax.random.fold_in(key, i)
        run(
            ATTACKS[name], fresh, key, images * 0.9, (labels + i) % 2, 0.2 * i,
            (0.0, 2.0 + i),
        )  # fmt: skip
    # Bounds given for the first time are one more program; their values are not.
    assert TRACES[ATTACKS[name]] <= before + 1


@each_attack
def test_epsilon_may_differ_per_example(name, key):
    weights, images, labels = make_problem()
    epsilons = jnp.linspace(0, 0.2, BATCH)
    result = run_per_example(name, weights, images, labels, epsilons)
    assert np.all(result.distance <= epsilons * (1 + 1e-6))
    np.testing.assert_array_equal(result.adversarial[0], images[0])
    same = run_per_example(name, weights, images, labels, epsilons[3])
    np.testing.assert_allclose(result.margin[3], same.margin[3], atol=1e-5)


@each_attack
def test_an_example_does_not_depend_on_its_neighbours(name, key):
    weights, images, labels = make_problem()
    epsilons = jnp.full(BATCH, 0.1)
    together = run_per_example(name, weights, images, labels, epsilons)
    other_images = (1 - images[::-1]).at[2].set(images[2])
    other_labels = (1 - labels).at[2].set(labels[2])
    other_epsilons = (2 * epsilons).at[2].set(epsilons[2])
    among_others = run_per_example(
        name, weights, other_images, other_labels, other_epsilons
    )
    np.testing.assert_allclose(
        together.adversarial[2], among_others.adversarial[2], atol=1e-6
    )


def test_a_batch_of_one_agrees_with_a_larger_batch(key):
    weights, images, labels = make_problem()
    together = run_per_example("cw_closest", weights, images, labels, 0.1)
    alone = run_per_example("cw_closest", weights, images[:1], labels[:1], 0.1)
    np.testing.assert_allclose(together.margin[:1], alone.margin, atol=MARGIN_TOLERANCE)


@each_attack
def test_masked_pixels_are_untouched(name, key):
    weights, images, labels = make_problem()
    mask = jnp.zeros((BATCH, *images.shape[1:3], 1)).at[1:, 1:4, :2].set(1)
    result = run_per_example(name, weights, images, labels, 0.1, mask=mask)
    changed = np.asarray(result.adversarial != images)
    assert changed[1:].any(axis=(1, 2, 3)).all()
    assert not np.any(changed & (np.asarray(mask) == 0))


def test_a_mask_may_be_shared_by_batch_and_channels(key):
    weights, images, labels = make_problem("colour_10_classes")
    mask = np.zeros((*images.shape[1:3], 1), bool)
    mask[2:4, 1:] = True
    attack = ATTACKS["pgd_l2"]
    result = run(attack, weights, key, images, labels, 0.3, mask=mask)
    changed = np.asarray(result.adversarial != images)
    np.testing.assert_array_equal(changed, np.broadcast_to(mask, images.shape))


@each_attack
def test_other_pixel_ranges(name, key):
    weights, images, labels = make_problem()
    celsius = weights | {"low": 22.0, "high": 38.0}
    images = 22 + 16 * jnp.where(images > 0.6, 1.0, images)
    labels = predict(celsius, images)
    bounds = (22.0, 38.0)
    epsilon = radius(ATTACKS[name], 1.0)
    result = run(ATTACKS[name], celsius, key, images, labels, epsilon, bounds)
    assert np.all((result.adversarial >= 22) & (result.adversarial <= 38))
    assert np.all(result.distance <= epsilon * (1 + 1e-6))
    assert np.all(result.distance > 0.2)
    assert np.all(result.margin < attacks.margin(network(celsius, images), labels))


@each_attack
def test_can_be_mapped_over_epsilon(name, key):
    weights, images, labels = make_problem()

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def sweep(weights, epsilon):
        return call(ATTACKS[name], weights, key, images, labels, epsilon)

    epsilons = np.asarray([0.02, 0.1], np.float32)
    margins = sweep(weights, epsilons).margin
    for i, epsilon in enumerate(epsilons):
        expected = run(ATTACKS[name], weights, key, images, labels, float(epsilon))
        np.testing.assert_allclose(margins[i], expected.margin, atol=MARGIN_TOLERANCE)


@each_attack
def test_a_misclassified_image_stays_a_success(name, key):
    weights, images, labels = make_problem()
    result = run(ATTACKS[name], weights, key, images, 1 - labels, 0.02)
    assert np.all(result.success)
    clean = attacks.margin(network(weights, images), 1 - labels)
    assert np.all(result.margin <= clean + 1e-6)


@each_attack
def test_scaled_and_shifted_logits_are_attacked_alike(name, key):
    if getattr(ATTACKS[name], "loss", "margin") == "cross_entropy":
        pytest.skip("cross-entropy has no gradient on a confident model")
    if isinstance(ATTACKS[name], attacks.CarliniWagnerL2):
        pytest.skip("its constant is in units of the logits")
    weights, images, labels = make_problem()
    epsilon = {"linf": 0.05, "l2": 0.2, "l1": 0.8}[ATTACKS[name].norm]
    successes = [
        run(ATTACKS[name], weights | change, key, images, labels, epsilon).success
        for change in (
            {}, {"scale": 1e3}, {"scale": 1e5}, {"shift": 20.0}, {"shift": -20.0},
        )
    ]  # fmt: skip
    for success in successes[1:]:
        np.testing.assert_array_equal(success, successes[0])


@each_attack
def test_no_gradient_flows_through_the_result(name, key):
    weights, images, labels = make_problem()

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradient(weights, images):
        result = call(ATTACKS[name], weights, key, images, labels, 0.1)
        return jnp.sum(result.adversarial) + jnp.sum(result.margin)

    for leaf in jax.tree.leaves(gradient(weights, images)):
        np.testing.assert_array_equal(leaf, 0)


@each_attack
def test_a_surrogate_with_gradients_breaks_a_model_without(name, key):
    weights, images, labels = make_problem()
    epsilon = radius(ATTACKS[name], 0.6)

    @jax.jit
    def attack(weights, images):
        def masked(x):
            return network(weights, jax.lax.stop_gradient(x))

        surrogates = {"exact": functools.partial(network, weights)}
        return ATTACKS[name](
            masked, key, images, labels, epsilon=epsilon, surrogates=surrogates
        )

    helped = attack(weights, images)
    exact = run(ATTACKS[name], weights, key, images, labels, epsilon)
    assert np.mean(exact.success) >= 0.5
    assert np.all(helped.success | ~exact.success)
    # An attack that rests with its first success does not seek the lowest margin.
    resting = exact.success & getattr(ATTACKS[name], "stop_on_success", False)
    assert np.all(resting | (helped.margin <= exact.margin + MARGIN_TOLERANCE))

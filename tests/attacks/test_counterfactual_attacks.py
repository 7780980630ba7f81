"""The attacks that know the truth, against the ceilings that they are to realise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from wbad_jax import attacks
from wbad_jax.evaluation import observe_in_white_noise, pair_bound

SHAPE = (6, 5, 1)
PATIENTS = 24
each_norm = pytest.mark.parametrize("norm", ["linf", "l2"])
any_norm = pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
WIDE = (-100.0, 100.0)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, images, labels, epsilon, data, mask=None, bounds=None):
    logits_fn = functools.partial(model, weights)
    return attack(
        logits_fn, jax.random.key(0), images, labels, epsilon=epsilon, mask=mask,
        bounds=(0.0, 1.0) if bounds is None else bounds, **data,
    )  # fmt: skip


def two_logits(score):
    return jnp.stack([jnp.zeros_like(score), score], axis=-1)


def linear(weights, images):
    template, bias = weights
    return two_logits(jnp.sum(template * images, axis=(1, 2, 3)) - bias)


def memoriser(weights, images):
    """The label of the nearest image of the set; no gradient."""
    known, labels = weights
    difference = images[:, None] - known
    distance = jnp.max(jnp.abs(difference), axis=(2, 3, 4))
    nearest = labels[jnp.argmin(jax.lax.stop_gradient(distance), axis=1)]
    return two_logits(2.0 * nearest - 1)


def coin(weights, images):
    """A decision by the bits of the image, as random as an arithmetic hash can be."""
    bits = jax.lax.bitcast_convert_type(images, jnp.uint32)
    mixed = jnp.sum(bits * weights, axis=(1, 2, 3), dtype=jnp.uint32)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    return two_logits(jnp.where((mixed ^ (mixed >> 13)) & 1, 1.0, -1.0))


def shifted_constants(norm):
    """Patients whose tumour adds a constant; half of them within twice the radius."""
    rng = np.random.default_rng(0)
    level = np.linspace(0.2, 0.5, PATIENTS)[:, None, None, None]
    contrast = rng.permutation(np.linspace(0.02, 0.18, PATIENTS))[:, None, None, None]
    healthy = np.float32(level + 0.01 * rng.normal(size=(PATIENTS, *SHAPE)))
    radius = 0.05 * np.prod(SHAPE) ** {"linf": 0, "l2": 0.5, "l1": 1}[norm]
    return healthy, np.float32(healthy + contrast), radius


def zoo(healthy, tumour):
    rng = np.random.default_rng(1)
    known = jnp.concatenate([healthy, tumour])
    labels = jnp.arange(2 * PATIENTS) // PATIENTS
    template = jnp.asarray(1 + rng.normal(size=SHAPE), jnp.float32)
    middle = jnp.sum(template * jnp.mean(known, axis=0))
    yield linear, (template, middle)
    yield memoriser, (known, labels)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        odd = 2 * rng.integers(0, 2**31, SHAPE) + 1
        yield coin, jnp.asarray(odd, jnp.uint32)


@any_norm
def test_no_classifier_exceeds_the_pair_bound(norm):
    healthy, tumour, radius = shifted_constants(norm)
    bound = pair_bound(healthy, tumour, radius, norm)
    assert 0.3 < bound.share < 0.8
    images = jnp.concatenate([healthy, tumour])
    twins = jnp.concatenate([tumour, healthy])
    labels = jnp.arange(2 * PATIENTS) // PATIENTS
    attack = attacks.TwinAttack(norm=norm)
    for model, weights in zoo(healthy, tumour):
        result = run(attack, model, weights, images, labels, radius, {"twins": twins})
        robust = ~np.asarray(result.success).reshape(2, PATIENTS)
        assert not np.any(robust.all(axis=0) & bound.conflicts)
        assert robust.mean() <= bound.accuracy + 1e-6
        if model is memoriser:
            assert np.all(jnp.argmax(memoriser(weights, images), 1) == labels)
            weak = run(
                attacks.PGD(norm=norm, num_steps=5), model, weights, images, labels,
                radius, {},
            )  # fmt: skip
            assert 1 - np.mean(weak.success) > bound.accuracy


@any_norm
def test_twins_in_reach_are_sent_to_the_same_bits(norm):
    healthy, tumour, radius = shifted_constants(norm)
    # Near zero an image has finer bits than its twin, and their difference is rounded.
    healthy, tumour = healthy / 40, tumour - healthy * np.float32(39 / 40)
    attack = attacks.TwinAttack(norm=norm, fractions=(1e-3,))
    labels = jnp.zeros(PATIENTS, jnp.int32)
    # The lower the mean of the image, or the higher, the lower the margin.
    weights = (jnp.ones(SHAPE), jnp.float32(8.0))
    up = run(attack, linear, weights, healthy, labels, radius, {"twins": tumour})
    down = run(attack, linear, weights, tumour, labels + 1, radius, {"twins": healthy})
    meet = pair_bound(healthy, tumour, radius, norm).conflicts
    np.testing.assert_array_equal(up.adversarial[meet], down.adversarial[meet])
    apart = np.asarray(up.adversarial != down.adversarial)[~meet]
    assert np.all(apart.any(axis=(1, 2, 3)))
    length = np.asarray(up.distance)[~meet]
    np.testing.assert_allclose(length, np.full(length.shape, radius), rtol=1e-5)


def test_twins_meet_within_a_shared_mask_only():
    healthy, tumour, _ = shifted_constants("linf")
    mask = np.zeros((1, *SHAPE), bool)
    mask[:, 1:3] = True
    tumour = np.where(mask, tumour, healthy)
    attack = attacks.TwinAttack(fractions=(1e-3,))
    weights = (jnp.ones(SHAPE), jnp.float32(8.0))
    labels = jnp.zeros(PATIENTS, jnp.int32)
    up = run(attack, linear, weights, healthy, labels, 0.1, {"twins": tumour}, mask)
    down = run(
        attack, linear, weights, tumour, labels + 1, 0.1, {"twins": healthy}, mask
    )
    np.testing.assert_array_equal(up.adversarial, down.adversarial)


def gaussians(norm, alpha=1.2, count=1500):
    """Known lesion in white noise and the best robust test for it."""
    rng = np.random.default_rng(3)
    rows, columns, _ = np.indices(SHAPE)
    lesion = np.exp(-((rows - 3) ** 2 + (columns - 2) ** 2) / 4.0)
    epsilon = 0.15 if norm == "linf" else 0.6
    unit = observe_in_white_noise(lesion[None, ..., 0], 1.0, epsilon, norm)
    observer = observe_in_white_noise(
        lesion[None, ..., 0], float(unit.upper[0]) / alpha, epsilon, norm
    )
    sigma = float(unit.upper[0]) / alpha
    labels = rng.integers(0, 2, count)
    noise = rng.normal(0, sigma, (count, *SHAPE))
    images = noise + labels[:, None, None, None] * lesion
    template = jnp.asarray(observer.weights[0][..., None], jnp.float32)
    weights = (template, jnp.sum(template * lesion) / 2)
    return lesion, epsilon, observer, weights, np.float32(images), labels


@each_norm
@pytest.mark.parametrize("kind", ["twin", "template"])
def test_the_best_linear_test_is_attacked_to_its_closed_form(norm, kind):
    lesion, epsilon, observer, weights, images, labels = gaussians(norm)
    signed = np.where(labels == 1, -1, 1)[:, None, None, None] * lesion
    if kind == "twin":
        attack, data = attacks.TwinAttack(norm=norm), {"twins": images + signed}
    else:
        attack = attacks.TemplateAttack(norm=norm)
        data = {"templates": lesion, "places": np.array([[0, 0], [2, -1]])}
    result = run(
        attack, linear, weights, images, labels, epsilon, data, bounds=WIDE
    )  # fmt: skip
    clean = np.asarray(attacks.margin(linear(weights, images), labels))
    size = np.linalg.norm(np.ravel(weights[0]), 1 if norm == "linf" else 2)
    np.testing.assert_allclose(result.margin, clean - epsilon * size, atol=2e-4)
    accuracy, ceiling = 1 - np.mean(result.success), observer.ceiling[0]
    assert abs(accuracy - ceiling) < 4 * np.sqrt(0.25 / len(labels))
    assert np.mean(clean > 0) > ceiling + 0.03


@each_norm
def test_half_the_template_is_enough_for_the_best_robust_test(norm):
    lesion, epsilon, _, weights, images, labels = gaussians(norm, count=50)
    data = {"templates": lesion, "places": np.array([[0, 0]])}
    half, whole = (
        run(
            attacks.TemplateAttack(norm=norm, fractions=fractions), linear, weights,
            images, labels, epsilon, data, bounds=WIDE,
        ).margin
        for fractions in ((0.5,), (0.5, 1.0))
    )  # fmt: skip
    np.testing.assert_allclose(half, whole, atol=2e-4)


@each_norm
def test_templates_at_all_places_agree_with_a_slow_search(norm):
    rng = np.random.default_rng(5)
    count = 4
    images = np.float32(rng.uniform(0.2, 0.8, (count, *SHAPE)))
    templates = np.float32(rng.normal(size=(count, *SHAPE)) * 0.2)
    places = rng.integers(-3, 4, (count, 5, 2))
    labels = np.array([0, 1, 1, 0])
    weights = (jnp.asarray(rng.normal(size=SHAPE), jnp.float32), jnp.float32(0.0))
    weights = (weights[0], jnp.sum(weights[0]) / 2)
    epsilon = 0.06 if norm == "linf" else 0.3
    attack = attacks.TemplateAttack(norm=norm, fractions=(0.5,))
    data = {"templates": templates, "places": places}
    result = run(attack, linear, weights, images, labels, epsilon, data)
    for i in range(count):
        margins = []
        for place in places[i]:
            half = ndimage.shift(templates[i, ..., 0], place, order=0, cval=0.0) / 2
            half = half[..., None] * (-1 if labels[i] == 1 else 1)
            if norm == "linf":
                half = np.clip(half, -epsilon, epsilon)
            else:
                half = half * min(1, epsilon / np.linalg.norm(half))
            moved = np.clip(images[i] + half, 0, 1)[None]
            margins.append(attacks.margin(linear(weights, moved), labels[i : i + 1]))
        np.testing.assert_allclose(result.margin[i], np.min(margins), atol=1e-5)


TWINS = {"twins": np.full((2, *SHAPE), 0.5, np.float32)}
TEMPLATES = {"templates": np.ones(SHAPE), "places": np.array([[0, 0]])}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("attack", "data", "message"),
    [
        (attacks.TwinAttack(), {"twins": TWINS["twins"][:1]}, "twins must be of shape"),
        (
            attacks.TemplateAttack(),
            TEMPLATES | {"templates": np.ones(SHAPE[:2])},
            r"templates must be of shape .*got \(6, 5\)",
        ),
        (
            attacks.TemplateAttack(),
            TEMPLATES | {"places": np.array([0, 0])},
            r"places must be of shape .*got \(2,\)",
        ),
        (
            attacks.TemplateAttack(),
            TEMPLATES | {"places": np.zeros((1, 2))},
            "places must be integers",
        ),
        (
            attacks.TemplateAttack(),
            TEMPLATES | {"places": np.zeros((0, 2), int)},
            "at least one",
        ),
    ],
)
def test_bad_data_are_named(attack, data, message):
    weights = (jnp.ones(SHAPE), 0.0)
    with pytest.raises(ValueError, match=message):
        attack(
            functools.partial(linear, weights), jax.random.key(0), TWINS["twins"],
            np.array([0, 1]), epsilon=0.1, **data,
        )  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize("attack", [attacks.TwinAttack, attacks.TemplateAttack])
def test_bad_settings_are_named(attack):
    with pytest.raises(ValueError, match="norm must be one of"):
        attack(norm="l3")
    with pytest.raises(ValueError, match="at least one number"):
        attack(fractions=())
    with pytest.raises(ValueError, match="fractions must be positive"):
        attack(fractions=(0.5, 0.0))

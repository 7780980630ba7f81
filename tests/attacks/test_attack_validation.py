import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

pytestmark = pytest.mark.fast
IMAGES = jnp.full((3, 4, 5, 1), 0.5)
LABELS = jnp.asarray([0, 1, 0])
# Settings without a default.
REQUIRED = {"threshold_crossing": {"thresholds": 0.1}}
each_attack = pytest.mark.parametrize("name", attacks.ATTACKS)


def two_logits(images):
    total = jnp.sum(images, axis=(1, 2, 3))
    return jnp.stack([total, -total], axis=-1)


def one_logit(images):
    return two_logits(images)[:, :1]


def no_batch(images):
    return two_logits(images)[0]


@each_attack
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[0]}, r"images must be .*float32 \(4, 5, 1\)"),
        ({"images": jnp.ones((3, 4, 5, 1), jnp.uint8)}, "uint8"),
        ({"images": 255 * IMAGES}, "within bounds.*127.5"),
        ({"labels": LABELS[:2]}, r"labels must be .*int32 \(2,\)"),
        ({"labels": jax.nn.one_hot(LABELS, 2)}, "labels must be integers"),
        ({"labels": LABELS + 1}, r"labels must lie in 0\.\.1.*1\.\.2"),
        ({"logits_fn": one_logit}, "at least 2 logits, got 1"),
        ({"logits_fn": no_batch}, r"logits of shape \(3, classes\), got \(2,\)"),
        ({"surrogates": {"smooth": one_logit}}, "smooth must return"),
        ({"epsilon": -0.5}, "epsilon must not be negative, got -0.5"),
        ({"epsilon": jnp.asarray([0.1, -0.25, 0.1])}, "got -0.25"),
        ({"epsilon": float("nan")}, "epsilon must not be negative, got nan"),
        ({"epsilon": 1000.0}, "epsilon must be at most .*units of the pixels"),
        ({"epsilon": jnp.ones(2)}, r"epsilon must be a scalar .*got shape \(2,\)"),
        ({"bounds": (1.0, 0.0)}, "low < high"),
        ({"mask": jnp.ones((4, 4, 1))}, r"mask must broadcast .*\(4, 4, 1\)"),
    ],
)
def test_a_bad_input_is_named(name, change, message, key):
    call = functools.partial(attacks.build(name, **REQUIRED.get(name, {})), key=key)
    arguments = {
        "logits_fn": two_logits, "images": IMAGES, "labels": LABELS, "epsilon": 0.1,
        "surrogates": surrogates_of(name),
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        call(**arguments)


def surrogates_of(name):
    """They are all that one attack follows, and optional for the others."""
    return {"other": two_logits} if name == "transfer" else None


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("pdg", {}, r"attack must be one of \[.*'cw', .*'pgd'.*\], got 'pdg'"),
        ("pgd", {"steps": 3}, r"pgd has the settings .*num_steps.*got 'steps'"),
        (
            "pgd",
            {"norm": "l3"},
            r"norm must be one of \['l1', 'l2', 'linf'\], got 'l3'",
        ),
        ("pgd", {"loss": "logit"}, r"loss must be one of .*margin.*got 'logit'"),
        ("pgd", {"start": "here"}, "start must be one of .*got 'here'"),
        ("pgd", {"momentum": -1}, "momentum must be at least 0, got -1"),
        ("mim", {"optimizer": "adam"}, "momentum must be 0 with optimizer='adam'"),
        ("pgd", {"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ("pgd", {"restarts": 0}, "restarts must be at least 1, got 0"),
        ("pgd", {"step_size": 0.0}, "step_size must be positive, got 0.0"),
        ("fgsm", {"norm": "inf"}, "got 'inf'"),
        ("cw", {"confidence": -1.0}, "confidence must be at least 0, got -1.0"),
        ("cw", {"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ("cw", {"select": "best"}, "select must be one of .*got 'best'"),
    ],
)
def test_a_bad_setting_is_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        attacks.build(name, **settings)


@each_attack
def test_settings_are_frozen_and_hashable(name):
    attack = attacks.build(name, **REQUIRED.get(name, {}))
    assert attack == attacks.build(name, **REQUIRED.get(name, {}))
    assert hash(attack) == hash(attacks.build(name, **REQUIRED.get(name, {})))
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        attack.norm = "l2"


@each_attack
def test_calls_share_one_signature(name):
    expected = inspect.signature(attacks.Attack.__call__).parameters
    actual = inspect.signature(attacks.ATTACKS[name].__call__).parameters
    names = list(actual)
    assert names[: len(expected)] == list(expected)
    # What one attack may be told beside is optional.
    assert all(actual[name].default is None for name in names[len(expected) :])


# Compiled op by op, which takes seconds; inputs are checked by one function for all.
OF_EACH_KIND = ("fgsm", "pgd", "cw", "fab", "square", "autoattack", "subband", "twin")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in OF_EACH_KIND else [pytest.mark.slow])
        for n in attacks.ATTACKS
    ],
)
def test_numpy_inputs_are_accepted(name, key):
    images, labels = np.asarray(IMAGES), np.asarray(LABELS)
    fields = {field.name for field in dataclasses.fields(attacks.ATTACKS[name])}
    few = {"num_steps": 2, "num_queries": 2, "num_samples": 2}
    few = {setting: value for setting, value in few.items() if setting in fields}
    attack = attacks.build(name, **few, **REQUIRED.get(name, {}))
    options = {"epsilon": np.float64(0.1), "surrogates": surrogates_of(name)}
    result = attack(two_logits, key, images, labels, **options)
    assert result.adversarial.dtype == jnp.float32


def test_confident_selection_needs_a_budget(key):
    attack = attacks.CarliniWagnerL2(select="confident")
    with pytest.raises(ValueError, match="needs an epsilon"):
        attack(two_logits, key, IMAGES, LABELS)


@pytest.mark.parametrize("loss", ["dlr"])
def test_a_ratio_of_three_logits_is_refused_for_two_classes(loss, key):
    with pytest.raises(
        ValueError, match="needs at least 3 classes, got 2; use 'margin'"
    ):
        attacks.PGD(loss=loss)(two_logits, key, IMAGES, LABELS, epsilon=0.1)


def test_missing_pixels_are_named(key):
    images = IMAGES.at[1, 0, 0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="images must not be NaN, but example 1 is"):
        attacks.PGD()(two_logits, key, images, LABELS, epsilon=0.1)


@pytest.mark.parametrize(
    ("norm", "epsilon"), [("linf", 8.0), ("l2", 100.0), ("l1", np.inf)]
)
def test_a_radius_beyond_the_pixel_range_is_a_mistake_of_units(norm, epsilon, key):
    attack = attacks.PGD(norm=norm)
    with pytest.raises(
        ValueError, match="epsilon must be at most .*units of the pixel"
    ):
        attack(two_logits, key, IMAGES, LABELS, epsilon=epsilon)
    wide = (-1000.0, 1000.0)
    if np.isfinite(epsilon):
        attack(two_logits, key, IMAGES, LABELS, epsilon=epsilon, bounds=wide)

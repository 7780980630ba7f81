"""Attacks that prepare a start behind a real denoiser; what it hides, and how much."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wbad_jax import attacks, denoise, wavelets
from wbad_jax.attacks.subband_transform import SubbandTransform
from wbad_jax.denoise.decomposition import decompose
from wbad_jax.denoise.denoiser import detail_thresholds, noise_levels

AXES = (1, 2)
BATCH = 4
# 22 to 38 °C, as the cameras of `denoise` tests see it.
BOUNDS = (22.0, 38.0)
EPSILON = 16 / 255
PLAIN = attacks.PGD(num_steps=20)


def thermograms(size=32, noise=0.046):
    """Warm bumps with the noise of a camera, in °C."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size] / size
    clean = 30 + 3 * np.exp(-((y - 0.5) ** 2 + (x - 0.4) ** 2) / 0.1)
    images = clean[None, ..., None] + noise * rng.normal(size=(BATCH, size, size, 1))
    return jnp.asarray(images, jnp.float32)


def specks(noise):
    """Nothing but noise."""
    return thermograms(noise=noise) - thermograms(noise=0.0) + 30


def thresholds_of(images, settings):
    """What an evaluation hands to `ThresholdCrossing`."""
    _, details = decompose(images, settings)
    sigmas = noise_levels(details, settings)
    return detail_thresholds(details, sigmas, images.shape, settings)


def hidden_model(settings, backward, images):
    """A linear score of the details behind the denoiser, and a bias of 2."""
    rng = np.random.default_rng(4)
    approx, *details = wavelets.wavedec2(
        jnp.asarray(rng.normal(size=(1, 32, 32, 1)), jnp.float32), level=2
    )
    template = wavelets.waverec2([0 * approx, *details])
    denoised = denoise.Denoiser(settings)(images, backward=backward)
    score = jnp.sum(template * denoised, axis=(1, 2, 3)) - 2
    return jnp.stack([-score / 2, score / 2], axis=-1)


HARD = denoise.DenoiserSettings(shrinkage="hard", threshold_rule="fixed", threshold=0.1)
HARD_UNIVERSAL = denoise.DenoiserSettings(shrinkage="hard")


@functools.partial(jax.jit, static_argnames=("attack", "settings", "surrogates"))
def margins(attack, settings, key, images, surrogates=()):
    model = functools.partial(hidden_model, settings)
    result = attack(
        functools.partial(model, "exact"), key, images, jnp.zeros(BATCH, jnp.int32),
        epsilon=EPSILON, bounds=BOUNDS,
        surrogates={name: functools.partial(model, name) for name in surrogates},
    )  # fmt: skip
    return result.margin


@pytest.mark.parametrize(
    "attack",
    [
        attacks.ThresholdCrossing(
            thresholds=functools.partial(thresholds_of, settings=HARD), inner=PLAIN
        ),
        attacks.WarmStarts(enlargement=None, inner=attacks.APGD(num_steps=20)),
    ],
    ids=["threshold_crossing", "corners"],
)
def test_a_start_breaks_hard_shrinkage_that_hides_all_gradients(attack, key):
    images = specks(0.02)  # All details are dead.
    np.testing.assert_allclose(margins(PLAIN, HARD, key, images), 2, atol=0.1)
    assert np.all(margins(attack, HARD, key, images) < -5)


def test_a_deflated_noise_level_lets_gradients_through(key):
    images = specks(0.046)
    attack = attacks.ThresholdEstimatorAttack(inner=PLAIN)
    plain = margins(PLAIN, HARD_UNIVERSAL, key, images)
    started = margins(attack, HARD_UNIVERSAL, key, images)
    assert np.all(plain > 0)
    assert np.all(started < -5)


def test_a_surrogate_gives_a_start(key):
    images = specks(0.02)
    attack = attacks.WarmStarts(enlargement=None, corner_levels=(), inner=PLAIN)
    assert np.all(margins(attack, HARD, key, images) > 0)
    assert np.all(margins(attack, HARD, key, images, ("identity",)) < -5)


def test_a_larger_ball_gives_a_start(key):
    """A local optimum that only the longer steps of the larger ball get past."""
    images = jnp.full((BATCH, 4, 4, 1), 0.5)

    def model(x):
        rise = jnp.mean(x, axis=(1, 2, 3)) - 0.5
        trap = jnp.where(rise < 0.02, rise, -rise)
        score = jnp.where(rise < 0.04, trap, 20 * (rise - 0.04)) - 1
        return jnp.stack([-score / 2, score / 2], axis=-1)

    inner = attacks.PGD(num_steps=10, start="clean")
    warm = attacks.WarmStarts(corner_levels=(), inner=inner)
    for attack, broken in ((inner, False), (warm, True)):
        result = attack(model, key, images, jnp.zeros(BATCH, jnp.int32), epsilon=0.1)
        assert np.all(result.success == broken), attack


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_checkerboards_move_the_noise_level_as_far_as_they_can(wavelet):
    images = thermograms()
    attack = attacks.ThresholdEstimatorAttack(wavelet=wavelet)
    ball = {"epsilon": EPSILON, "bounds": BOUNDS}
    sigma = functools.partial(denoise.noise_sigma, wavelet=wavelet)
    before = sigma(images)
    np.testing.assert_allclose(before, 0.046, rtol=0.15)
    higher, lower = attack.inflated(images, **ball), attack.deflated(images, **ball)
    for moved in (higher, lower):
        assert np.abs(moved - images).max() <= EPSILON * (1 + 1e-6)
    np.testing.assert_allclose(sigma(lower), 0, atol=1e-5)
    if wavelet == "haar":
        expected = before + 2 * EPSILON / 0.67449
        np.testing.assert_allclose(sigma(higher), expected, rtol=1e-4)
        np.testing.assert_allclose(sigma(higher), 0.23, atol=0.012)
    assert np.all(sigma(higher) > 0.19)


def test_the_noise_level_moves_in_a_small_l2_ball_too():
    images = thermograms()
    attack = attacks.ThresholdEstimatorAttack(inner=attacks.PGD(norm="l2"))
    ball = {"epsilon": 0.5, "bounds": BOUNDS}
    sigma = denoise.noise_sigma
    # Every one of 256 coefficients moves by 0.5 / 16.
    rise = sigma(attack.inflated(images, **ball)) - sigma(images)
    np.testing.assert_allclose(rise, 0.5 / 16 / 0.67449, rtol=1e-3)
    assert np.all(sigma(attack.deflated(images, **ball)) < 0.5 * sigma(images))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize(
    ("wavelet", "mode"), [("haar", "symmetric"), ("db2", "zero"), ("db2", "reflect")]
)
def test_reach_is_the_dual_norm_of_every_filter(wavelet, mode, norm):
    shape = (12, 9)
    basis = np.eye(108).reshape(108, *shape)
    transform = SubbandTransform(wavelet, mode, 2 if wavelet == "haar" else 1)
    reach = transform.reach((1, *shape, 1), norm)
    expected = pywt.wavedec2(basis, wavelet, mode, transform.level, axes=AXES)
    order = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
    for ours, theirs in zip(
        jax.tree.leaves(reach), jax.tree.leaves(expected), strict=True
    ):
        dual = np.linalg.norm(theirs, order, axis=0)
        np.testing.assert_allclose(ours[..., 0], dual, atol=1e-6)


def test_share_of_dead_but_reachable_coefficients():
    """Haar, counted with PyWavelets; one threshold for each image and band."""
    images = thermograms()
    rng = np.random.default_rng(6)
    tables = rng.uniform(0.05, 0.3, (2, 3, BATCH, 1, 1, 1))
    epsilons = np.linspace(0.01, 0.1, BATCH)
    shares = attacks.dead_but_reachable(
        images, tables.astype(np.float32).tolist(), epsilons.astype(np.float32)
    )
    _, *levels = pywt.wavedec2(np.asarray(images), "haar", level=2, axes=AXES)
    expected = np.zeros((BATCH, 2, 3))
    for i, (details, level) in enumerate(zip(levels, (2, 1), strict=True)):
        for o, band in enumerate(details):
            for n in range(BATCH):
                size, limit = np.abs(band[n]), tables[i, o, n]
                reached = size + epsilons[n] * 2**level
                expected[n, i, o] = np.mean((size < limit) & (limit <= reached))
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    assert 0.05 < expected.mean() < 0.95


def test_thresholds_come_as_a_number_or_as_three_for_each_level():
    images = thermograms()
    one = attacks.dead_but_reachable(images, 0.1, EPSILON)
    nested = attacks.dead_but_reachable(images, [[0.1] * 3] * 2, EPSILON)
    np.testing.assert_array_equal(one, nested)
    none = attacks.dead_but_reachable(images, 0.0, EPSILON, level=1)
    np.testing.assert_array_equal(none, np.zeros((BATCH, 1, 3)))
    with pytest.raises(ValueError, match="three numbers for each of 2 levels"):
        attacks.dead_but_reachable(images, [[0.1] * 3], EPSILON)


@dataclasses.dataclass(frozen=True)
class FirstStart:
    """An inner attack that returns the first of its starts."""

    norm: str = "linf"

    def __call__(self, logits_fn, key, images, labels, starts, surrogates, **ball):
        del surrogates
        return attacks.finish(
            logits_fn, images, starts[0], labels, norm=self.norm, **ball
        )


@pytest.mark.parametrize(
    ("norm", "threshold", "least"),
    # The sign of the gradient crosses 500 of the former, restricted to those in reach
    # 580. Of the latter at most 1 / 0.08**2 an image can cross, noise apart.
    [("linf", 0.1, 680), ("l2", 0.1, 100 * BATCH)],
)
def test_coefficients_cross_on_the_side_that_helps(norm, threshold, least, key):
    images = specks(0.02)
    attack = attacks.ThresholdCrossing(thresholds=threshold, inner=FirstStart(norm))
    model = functools.partial(hidden_model, HARD, "identity")
    epsilon = EPSILON if norm == "linf" else 1.0
    result = jax.jit(functools.partial(attack, model, bounds=BOUNDS, epsilon=epsilon))(
        key, images, jnp.zeros(BATCH, jnp.int32)
    )
    gradient = jax.grad(lambda x: jnp.sum(model(x)[:, 1]))(images)
    guide = wavelets.wavedec2(gradient, level=2)[1:]
    before, after = (
        wavelets.wavedec2(x, level=2)[1:] for x in (images, result.adversarial)
    )
    right = wrong = 0
    for g, w0, w1 in zip(*map(jax.tree.leaves, (guide, before, after)), strict=True):
        crossed = (jnp.abs(w0) <= threshold) & (jnp.abs(w1) > threshold)
        right += jnp.sum(crossed & (w1 * g > 0))
        wrong += jnp.sum(crossed & (w1 * g < 0))
    assert right > least
    assert wrong < 0.1 * right


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: attacks.ThresholdCrossing(thresholds=-0.1), "thresholds.*-0.1"),
        (lambda: attacks.ThresholdCrossing(thresholds=0.1, level=0), "level.*0"),
        (lambda: attacks.WarmStarts(enlargement=0.5), "enlargement.*0.5"),
        (lambda: attacks.WarmStarts(corner_levels=(0,)), "level.*0"),
        (lambda: attacks.ThresholdEstimatorAttack(mode="mirror"), "mode.*mirror"),
    ],
)
def test_wrong_settings_of_starts_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()

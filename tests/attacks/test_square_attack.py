"""Square attack against a NumPy twin, closed forms and its own promises."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks
from wbad_jax.attacks import square_windows

BATCH, PIXELS = 4, (7, 5, 1)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon, mask=None):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon, mask=mask)


def linear(weights, images):
    """The margin of class 1; two logits."""
    slope, offset = weights
    score = jnp.sum(slope * (images - 0.5), axis=(1, 2, 3)) + offset
    return jnp.stack([-score / 2, score / 2], axis=-1)


def linear_problem(pixels=PIXELS, offset=100.0, seed=1):
    """Nothing breaks it with the default offset."""
    rng = np.random.default_rng(seed)
    slope = jnp.asarray(rng.normal(size=pixels), jnp.float32)
    images = jnp.asarray(rng.uniform(0.4, 0.6, (BATCH, *pixels)), jnp.float32)
    return (slope, offset), images, jnp.ones(BATCH, jnp.int32)


def drop(weights, images, labels, result):
    return np.asarray(attacks.margin(linear(weights, images), labels) - result.margin)


# The attack as its paper writes it, one example at a time, with slices.


def plain_share(query, num_queries, p_init, rescale):
    query = int(query / num_queries * 10_000) if rescale else query
    halvings = 0
    for number in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
        halvings += query > number
    return p_init / 2**halvings


def plain_rectangles(height, width):
    """Sum of centred squares of growing side, weighted 1 / (k + 1)^2."""
    values = np.zeros((height, width))
    for k in range(max(height // 2, width // 2) + 1):
        top, left = max(height // 2 - k, 0), max(width // 2 - k, 0)
        rows = slice(top, height // 2 + k + 1)
        values[rows, left : width // 2 + k + 1] += 1 / (k + 1) ** 2
    return values / np.linalg.norm(values)


def plain_bump(side, upright):
    upper = plain_rectangles(side // 2, side) if side > 1 else np.zeros((0, side))
    bump = np.concatenate([upper, -plain_rectangles(side - side // 2, side)])
    bump /= np.linalg.norm(bump)
    return bump if upright else bump.T


class PlainSquare:
    """One example; `uniform(query, number)` are the draws in [0, 1)."""

    def __init__(self, attack, image, epsilon, margin, uniform):
        self.attack, self.image, self.epsilon = attack, image, epsilon
        self.margin, self.uniform = margin, uniform

    def run(self):
        current = self.start()
        margin = self.margin(current)
        for query in range(1, self.attack.num_queries):
            if margin < 0:
                break
            step = self.linf_step if self.attack.norm == "linf" else self.l2_step
            proposal = step(current, query)
            if self.margin(proposal) < margin:
                current, margin = proposal, self.margin(proposal)
        return current

    def side(self, query):
        attack = self.attack
        share = plain_share(
            query, attack.num_queries, attack.p_init, attack.rescale_schedule
        )
        height, width, _ = self.image.shape
        side = max(round(math.sqrt(share * height * width)), 1)
        if attack.norm == "linf":
            return min(side, height, width)
        side = max(side + (side % 2 == 0), 3)
        while side > min(height, width):
            side -= 2
        return side

    def window(self, side, draws):
        height, width, _ = self.image.shape
        rows, cols = height - side + 1, width - side + 1
        if self.attack.norm == "l2":
            rows, cols = (n - 1 if n > 9 else n for n in (rows, cols))
        row, col = int(draws[0] * rows), int(draws[1] * cols)
        return slice(row, row + side), slice(col, col + side)

    def start(self):
        height, width, channels = self.image.shape
        delta = np.zeros(self.image.shape)
        if self.attack.norm == "linf":
            draws = self.uniform(0, width * channels).reshape(1, width, channels)
            delta[:] = np.where(draws < 0.5, self.epsilon, -self.epsilon)
            return np.clip(self.image + delta, 0, 1)
        side = min(height, width) // 5
        rows, cols = height // side, width // side
        top, left = (height - rows * side) // 2, (width - cols * side) // 2
        draws = self.uniform(0, rows * cols * (1 + channels)).reshape(rows, cols, -1)
        for i, j in np.ndindex(rows, cols):
            row, col = top + i * side, left + j * side
            bump = plain_bump(side, draws[i, j, 0] < 0.5)[..., None]
            delta[row : row + side, col : col + side] = bump * np.where(
                draws[i, j, 1:] < 0.5, 1, -1
            )
        return self.on_sphere(delta)

    def linf_step(self, current, query):
        draws = self.uniform(query, 2 + self.image.shape[2])
        window = self.window(self.side(query), draws)
        signs = np.where(draws[2:] < 0.5, 1, -1)
        for attempt in (signs, -signs):
            moved = current[window] + 2 * self.epsilon * attempt
            low, high = self.image - self.epsilon, self.image + self.epsilon
            proposal = current.copy()
            proposal[window] = np.clip(moved, low[window], high[window])
            proposal = np.clip(proposal, 0, 1)
            if np.abs(proposal - current).max() > 1e-7:
                break
        return proposal

    def l2_step(self, current, query):
        channels = self.image.shape[2]
        draws = self.uniform(query, 5 + channels)
        side = self.side(query)
        one, two = self.window(side, draws[:2]), self.window(side, draws[2:4])
        delta = current - self.image
        both = np.zeros(self.image.shape[:2], bool)
        both[one], both[two] = True, True
        unused = max((1 - 1e-5) * self.epsilon**2 - (delta**2).sum(), 0)
        new = np.zeros((side, side, channels))
        for c in range(channels):
            sign = 1 if draws[5 + c] < 0.5 else -1
            old = delta[..., c][one]
            mixed = sign * plain_bump(side, draws[4] < 0.5)
            mixed = mixed + old / max(np.linalg.norm(old), 1e-12)
            squared = (delta[..., c][both] ** 2).sum() + unused / channels
            length = max(np.linalg.norm(mixed), 1e-12)
            new[..., c] = mixed / length * math.sqrt(squared)
        delta[two] = 0
        delta[one] = new
        return self.on_sphere(delta)

    def on_sphere(self, delta):
        delta = self.epsilon * delta / np.linalg.norm(delta)
        return np.clip(self.image + delta, 0, 1)


@pytest.mark.parametrize(
    ("settings", "pixels", "epsilon", "offset"),
    [
        ({"norm": "linf"}, (7, 9, 1), 0.2, 4.5),
        ({"rescale_schedule": False, "p_init": 0.3}, (6, 5, 3), 0.45, 18),
        ({"norm": "l2", "p_init": 0.1}, (13, 11, 1), 1.0, 4),
        ({"norm": "l2", "rescale_schedule": False}, (6, 7, 2), 2.0, 4),
    ],
)
def test_agrees_with_a_plain_twin_under_the_same_draws(
    settings, pixels, epsilon, offset, key
):
    attack = attacks.Square(num_queries=60, **settings)
    # Some examples break on the way and rest from then on.
    weights, images, labels = linear_problem(pixels, offset=offset)
    result = run(attack, linear, weights, key, images, labels, epsilon)
    slope, offset = np.asarray(weights[0], np.float64), weights[1]

    def uniform(key, query, number):
        return np.asarray(
            jax.random.uniform(jax.random.fold_in(key, query), (number,)), np.float64
        )

    for i, key_of_one in enumerate(jax.random.split(key, BATCH)):
        twin = PlainSquare(
            attack, np.asarray(images[i], np.float64), epsilon,
            lambda x: float((slope * (x - 0.5)).sum() + offset),
            functools.partial(uniform, jax.random.fold_in(key_of_one, 0)),
        ).run()  # fmt: skip
        np.testing.assert_allclose(result.adversarial[i], twin, atol=2e-5)
    print("broken:", np.asarray(result.success))


@pytest.mark.fast
@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 10])
def test_tabulated_bumps_are_the_plain_ones(side):
    sides = np.asarray([1, side, 11])
    bumps = square_windows.Bumps(sides)
    grid = square_windows.Grid(12, 14)
    first = (jnp.asarray([0, 2]), jnp.asarray([3, 1]))
    values = bumps(jnp.asarray(1), first, jnp.asarray([False, True]), grid)
    for i, upright in enumerate((True, False)):
        expected = np.zeros((12, 14))
        row, col = int(first[0][i]), int(first[1][i])
        expected[row : row + side, col : col + side] = plain_bump(side, upright)
        np.testing.assert_allclose(values[i, :, :, 0], expected, atol=1e-6)


@pytest.mark.fast
def test_windows_reach_every_position_and_no_further():
    grid = square_windows.Grid(7, 11, block=2)
    steps = np.linspace(0, 1, 100, endpoint=False)
    draws = np.stack(np.meshgrid(steps, np.append(steps, 1 - 2**-24)), -1)
    draws = jnp.asarray(draws.reshape(-1, 2), jnp.float32)
    first = square_windows.place(draws, jnp.asarray(3), grid)
    assert sorted(set(np.asarray(first[0]).tolist())) == [0, 1]
    assert sorted(set(np.asarray(first[1]).tolist())) == [0, 1, 2, 3]
    window = square_windows.inside(first, jnp.asarray(3), grid)
    # The last row and column of blocks hold one pixel instead of two.
    assert set(np.asarray(window.sum((1, 2, 3))).tolist()) == {36, 30, 25}
    assert bool(window[:, -1].any() & window[:, :, -1].any())


@pytest.mark.fast
@pytest.mark.parametrize("offset", [100.0, -100.0])
def test_linf_corner_of_a_linear_model_is_reached(offset, key):
    weights, images, labels = linear_problem(offset=abs(offset))
    if offset < 0:
        weights, labels = (weights[0], offset), 1 - labels
    attack = attacks.Square(num_queries=600)
    result = run(attack, linear, weights, key, images, labels, 0.05)
    expected = 0.05 * np.abs(weights[0]).sum()
    reached = drop(weights, images, labels, result) / expected
    print("drop / closed form:", np.round(reached, 4))
    np.testing.assert_allclose(reached, 1, atol=0.01)


@pytest.mark.fast
def test_a_mask_leaves_the_corner_of_the_open_pixels(key):
    weights, images, labels = linear_problem()
    mask = np.zeros((*PIXELS[:2], 1), bool)
    mask[2:, 1:] = True
    attack = attacks.Square(num_queries=600)
    result = run(attack, linear, weights, key, images, labels, 0.05, mask)
    expected = 0.05 * np.abs(np.asarray(weights[0])[mask]).sum()
    reached = drop(weights, images, labels, result)
    np.testing.assert_allclose(reached, np.full(BATCH, expected), rtol=0.01)


@pytest.mark.fast
def test_l2_search_comes_near_the_optimum_of_a_linear_model(key):
    weights, images, labels = linear_problem((10, 8, 1))
    attack = attacks.Square(norm="l2", num_queries=2000)
    result = run(attack, linear, weights, key, images, labels, 0.5)
    reached = drop(weights, images, labels, result)
    reached = reached / (0.5 * np.linalg.norm(weights[0]))
    print("drop / closed form:", np.round(reached, 4))
    assert np.all(reached < 1 + 1e-5)
    assert np.all(reached > 0.75)
    np.testing.assert_allclose(result.distance, 0.5, rtol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("pixels", [(1, 1, 1), (3, 9, 1), (4, 2, 3)])
def test_images_too_small_for_the_paper_are_attacked(norm, pixels, key):
    weights, images, labels = linear_problem(pixels)
    attack = attacks.Square(norm=norm, num_queries=400)
    result = run(attack, linear, weights, key, images, labels, 0.1)
    dual = 1 if norm == "linf" else 2
    optimum = 0.1 * np.linalg.norm(np.ravel(weights[0]), dual)
    reached = drop(weights, images, labels, result) / optimum
    print(norm, pixels, "drop / closed form:", np.round(reached, 3))
    least = 0.99 if norm == "linf" else 0.35
    # The one L2 pattern for a single pixel is its start, up or down.
    assert np.all(reached > (-1.01 if pixels == (1, 1, 1) else least))
    np.testing.assert_allclose(result.distance, 0.1, rtol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_aligned_perturbations_are_constant_on_blocks(norm, key):
    weights, images, labels = linear_problem((8, 11, 2))
    images = jnp.full_like(images, 0.5)
    attack = attacks.Square(norm=norm, num_queries=200, aligned=3)
    result = run(attack, linear, weights, key, images, labels, 0.1)
    perturbation = np.asarray(result.adversarial - images)
    for row, col in np.ndindex(3, 4):
        block = perturbation[:, 3 * row : 3 * row + 3, 3 * col : 3 * col + 3]
        assert np.abs(block - block[:, :1, :1]).max() < 1e-6
    assert len(np.unique(perturbation[0].round(5))) > 1


@pytest.mark.fast
def test_aligned_search_reaches_the_best_block_signs(key):
    weights, images, labels = linear_problem((8, 12, 1))
    attack = attacks.Square(num_queries=300, aligned=4)
    result = run(attack, linear, weights, key, images, labels, 0.05)
    blocks = np.asarray(weights[0]).reshape(2, 4, 3, 4).sum(axis=(1, 3))
    expected = 0.05 * np.abs(blocks).sum()
    reached = drop(weights, images, labels, result)
    np.testing.assert_allclose(reached, np.full(BATCH, expected), rtol=1e-3)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_broken_example_is_left_alone(norm, key):
    weights, images, labels = linear_problem(offset=0.8)
    epsilon = 0.12 if norm == "linf" else 0.5
    early, late = (
        run(
            attacks.Square(norm=norm, num_queries=number, rescale_schedule=False),
            linear, weights, key, images, labels, epsilon,
        )
        for number in (15, 150)
    )  # fmt: skip
    broken = np.asarray(early.success)
    print("broken:", broken, np.asarray(late.success))
    assert broken.any()
    np.testing.assert_array_equal(early.adversarial[broken], late.adversarial[broken])
    assert np.all(late.margin[~broken] < early.margin[~broken])


@pytest.mark.parametrize(
    ("offset", "label", "restarts", "expected"),
    [
        (100.0, 1, 1, 40 + 2),
        (100.0, 1, 3, 120 + 2),
        (100.0, 0, 3, 2),
        (0.3, 1, 3, None),
    ],
)
def test_a_query_is_one_forward_pass(offset, label, restarts, expected, key):
    weights, images, _ = linear_problem(offset=offset)
    labels = jnp.full(BATCH, label)
    calls = []

    def counted(weights, x):
        jax.debug.callback(lambda: calls.append(1))
        return linear(weights, x)

    attack = attacks.Square(num_queries=40, restarts=restarts)
    result = run(attack, counted, weights, key, images, labels, 0.2)
    jax.block_until_ready(result)
    jax.effects_barrier()
    if expected is None:  # All are broken before the queries of one run are used up.
        assert np.all(result.success)
        assert 2 < len(calls) < 42
    else:
        assert len(calls) == expected


@pytest.mark.fast
def test_restarts_are_never_weaker(key):
    weights, images, labels = linear_problem()
    fewer, more = (
        run(
            attacks.Square(num_queries=20, restarts=restarts),
            linear, weights, key, images, labels, 0.1,
        ).margin
        for restarts in (1, 5)
    )  # fmt: skip
    assert np.all(more <= fewer)
    assert np.any(more < fewer)


@pytest.mark.fast
def test_models_without_gradients_are_broken_where_pgd_is_blind(key):
    weights, images, labels = linear_problem(offset=1.0)

    def stopped(weights, x):
        return linear(weights, jax.lax.stop_gradient(x))

    def quantised(weights, x):
        return 1e5 * linear(weights, jnp.round(16 * x) / 16) + 20

    for model in (stopped, quantised):
        blind = run(attacks.PGD(), model, weights, key, images, labels, 0.15)
        attack = attacks.Square(num_queries=300)
        result = run(attack, model, weights, key, images, labels, 0.15)
        assert not np.any(blind.success)
        assert np.all(result.success)


@pytest.mark.fast
def test_scaled_logits_are_attacked_alike(key):
    weights, images, labels = linear_problem(offset=2.5)

    def scaled(weights, x):
        weights, scale, shift = weights
        return scale * linear(weights, x) + shift

    attack = attacks.Square(num_queries=60)
    results = [
        run(attack, scaled, (weights, scale, shift), key, images, labels, 0.15)
        for scale, shift in ((1.0, 0.0), (2.0**17, 0.0), (2.0**10, 20.0))
    ]
    assert 0 < np.mean(results[0].success) < 1
    for result in results[1:]:
        np.testing.assert_array_equal(result.success, results[0].success)
    np.testing.assert_array_equal(results[1].adversarial, results[0].adversarial)


@pytest.mark.fast
@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "l1"},
        {"num_queries": 0},
        {"p_init": 0},
        {"restarts": 0},
        {"aligned": 0},
    ],
)
def test_a_wrong_setting_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        attacks.Square(**settings)

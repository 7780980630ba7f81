"""The projection onto a hyperplane and a box against solvers in double precision."""

import functools

import jax
import numpy as np
import pytest
from scipy import optimize

from wbad_jax.attacks.hyperplane import step_to_hyperplane

BATCH, PIXELS = 12, (3, 5, 2)
SIZE = int(np.prod(PIXELS))
each_norm = pytest.mark.parametrize("norm", ["linf", "l2"])


@functools.partial(jax.jit, static_argnums=3)
def run(points, normal, gap, norm, bounds=(0.0, 1.0), mask=None):
    return step_to_hyperplane(points, normal, gap, norm, bounds=bounds, mask=mask)


def make_problem(fraction=1.0, seed=0):
    """Gaps that need from nearly none to nearly all of the box."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (BATCH, *PIXELS)).astype(np.float32)
    points[:, 0] = np.round(points[:, 0])  # Some pixels are at the end of the range.
    normal = rng.normal(size=points.shape).astype(np.float32)
    normal *= rng.random(points.shape) < 0.8  # And some do not matter.
    sign = np.where(np.arange(BATCH) % 2, 1, -1)[:, None, None, None]
    corner = np.where(normal * sign > 0, 1, 0)
    reach = np.sum(normal * (corner - points), axis=(1, 2, 3))
    shares = np.linspace(0.01, 0.97, BATCH) * fraction
    return points, normal, (shares * reach).astype(np.float32)


def shortest_linf(point, normal, gap, low, high):
    """Linear program: the step and its largest entry t, with |step| <= t."""
    eye, one = np.eye(SIZE), np.ones((SIZE, 1))
    solution = optimize.linprog(
        np.r_[np.zeros(SIZE), 1],
        A_ub=np.block([[eye, -one], [-eye, -one]]),
        b_ub=np.zeros(2 * SIZE),
        A_eq=np.r_[normal, 0][None],
        b_eq=[gap],
        bounds=[*zip(low - point, high - point, strict=True), (0, None)],
    )
    assert solution.success
    return solution.fun


def shortest_l2(point, normal, gap, low, high):
    """Bisection for the multiplier of the quadratic program."""

    def step(multiplier):
        return np.clip(multiplier * normal, low - point, high - point)

    ends = np.sign(gap) * np.asarray([0, 1e9])
    for _ in range(200):
        middle = np.mean(ends)
        beyond = np.abs(normal @ step(middle)) > np.abs(gap)
        ends[1 if beyond else 0] = middle
    return np.linalg.norm(step(ends[0]))


def shortest_l1(point, normal, gap, low, high):
    """Fills the pixels of steepest slope first."""
    room = np.where(normal * gap > 0, high - point, point - low)
    order = np.argsort(-np.abs(normal))
    slope, room = np.abs(normal)[order], room[order]
    before = np.cumsum(slope * room) - slope * room
    needed = np.maximum(np.abs(gap) - before, 0) / np.maximum(slope, 1e-12)
    return np.sum(np.minimum(needed, room))


def shortest(norm, points, normal, gap, low=0.0, high=1.0):
    solve = {"linf": shortest_linf, "l2": shortest_l2}[norm]
    low, high = (np.broadcast_to(bound, BATCH) for bound in (low, high))
    flat = [np.asarray(a, np.float64).reshape(BATCH, -1) for a in (points, normal)]
    return np.asarray(
        [solve(*each) for each in zip(*flat, np.float64(gap), low, high, strict=True)]
    )


def lengths(step, norm):
    order = np.inf if norm == "linf" else 2
    return np.linalg.norm(np.asarray(step, np.float64).reshape(BATCH, -1), order, 1)


@pytest.mark.fast
@each_norm
def test_no_point_of_the_hyperplane_in_the_box_is_nearer(norm):
    points, normal, gap = make_problem()
    step = np.asarray(run(points, normal, gap, norm), np.float64)
    np.testing.assert_allclose(np.sum(normal * step, axis=(1, 2, 3)), gap, rtol=1e-5)
    assert (points + step).min() >= -1e-7
    assert (points + step).max() <= 1 + 1e-7
    expected = shortest(norm, points, normal, gap)
    np.testing.assert_allclose(lengths(step, norm), expected, rtol=2e-5)
    at_the_end = np.isclose(points + step, 0) | np.isclose(points + step, 1)
    assert at_the_end[-1].mean() > 0.5  # The box does bind.


@pytest.mark.fast
@each_norm
def test_quadratic_program_by_another_solver(norm):
    points, normal, gap = make_problem()
    step = np.asarray(run(points, normal, gap, "l2"), np.float64)
    for i in (2, 9):
        point, weights = points[i].ravel(), np.float64(normal[i].ravel())
        solution = optimize.minimize(
            lambda d: d @ d, step[i].ravel() * 0.5, jac=lambda d: 2 * d,
            bounds=[*zip(-point, 1 - point, strict=True)], method="SLSQP",
            constraints={"type": "eq", "fun": lambda d, w=weights, g=gap[i]: w @ d - g},
        )  # fmt: skip
        assert solution.success
        np.testing.assert_allclose(step[i].ravel(), solution.x, atol=1e-4)


@pytest.mark.fast
@each_norm
def test_a_plane_out_of_reach_gives_the_nearest_corner(norm):
    points, normal, gap = make_problem()
    step = np.asarray(run(points, normal, 200 * gap, norm))
    corner = (normal * gap[:, None, None, None] > 0).astype(np.float32)
    expected = np.where(normal == 0, 0, corner - points)
    np.testing.assert_allclose(step, expected, atol=1e-6)


@pytest.mark.fast
@each_norm
def test_zero_normals_and_zero_gaps_give_no_step(norm):
    points, normal, gap = make_problem()
    np.testing.assert_array_equal(run(points, 0 * normal, gap, norm), 0)
    np.testing.assert_array_equal(run(points, normal, 0 * gap, norm), 0)


@pytest.mark.fast
@each_norm
@pytest.mark.parametrize("scale", [1e-25, 1e5, 1e25])
def test_the_scale_of_the_normal_does_not_matter(norm, scale):
    points, normal, gap = make_problem()
    scale = np.float32(scale)
    step = run(points, scale * normal, scale * gap, norm)
    np.testing.assert_allclose(step, run(points, normal, gap, norm), atol=2e-6)


@pytest.mark.fast
@each_norm
def test_closed_pixels_and_other_ranges(norm):
    points, normal, gap = make_problem(fraction=0.2)
    low = np.linspace(-3, 22, BATCH).astype(np.float32)
    width = np.linspace(1, 16, BATCH).astype(np.float32)
    mask = np.ones((*PIXELS[:2], 1))
    mask[1, 1:4] = 0
    wide = width[:, None, None, None]
    step = run(
        low[:, None, None, None] + wide * points, normal, width * gap, norm,
        (low, low + width), mask,
    )  # fmt: skip
    assert not np.any(np.asarray(step)[:, 1, 1:4])
    expected = shortest(norm, points, normal * mask, gap) * width
    np.testing.assert_allclose(lengths(step, norm), expected, rtol=1e-4)


@pytest.mark.fast
@each_norm
def test_rooms_of_all_magnitudes(norm):
    # Every round of Newton's method stops few pixels: the slowest case.
    points = np.zeros((1, 1, 60, 1), np.float32)
    points[..., 0] = 1 - 2.0 ** -np.arange(60).clip(max=20)
    normal = 2.0 ** np.arange(60, dtype=np.float32).reshape(points.shape)
    reach = np.sum(normal.astype(np.float64) * (1 - points))
    for share in (0.5, 0.9, 0.999):
        gap = np.asarray([share * reach], np.float32)
        step = np.asarray(run(points, normal, gap, norm), np.float64)
        np.testing.assert_allclose(np.sum(normal * step), gap, rtol=1e-5)

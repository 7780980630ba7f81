"""The scanning observer: its certificates hold, and stay under the ceiling."""

import numpy as np
import pytest

from wbad_jax import evaluation
from wbad_jax.evaluation import scanning, scanning_fit

SHAPE = (24, 24)
NORMS = ("linf", "l2")
EPSILON = {"linf": 0.02, "l2": 0.2}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def cohort(rng, count):
    """White noise and a field of one slope, lesions of two sizes at random places."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    base = 0.5 + 0.04 * rng.normal(size=(count, *SHAPE))
    tumours = []
    for image in base:
        y, x = rng.uniform(8, 16, 2)
        width = rng.choice((1.5, 2.5))
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
        tumours.append(image + rng.uniform(0.12, 0.2) * spot)
    clipped = (np.clip(each, 0, 1).astype(np.float32) for each in (base, tumours))
    return *clipped, np.ones(base.shape, bool)


@pytest.fixture(scope="module", params=NORMS)
def fitted(request):
    rng = np.random.default_rng(1)
    norm = request.param
    (observer,) = evaluation.fit_scanning_observers(
        *cohort(rng, 80), [EPSILON[norm]], norm, num_sizes=2, erased=(0.3, 0.5)
    )
    return observer, cohort(rng, 40)


def step_of(observer, image, rng, sign):
    """A feasible perturbation along the gradient of a random term, or at random."""
    k = rng.integers(len(observer.templates))
    places = np.argwhere(observer.places)
    if rng.uniform() < 0.7:
        term = scanning.responses(image[None], observer.templates[k], observer.mirror)
        term = (term[0] - observer.centre[k]) / observer.scale[k]
        values = term[observer.places]
        # The few places that decide, rather than the best alone.
        choice = np.argsort(values)[-1 - rng.integers(3)]
    else:
        choice = rng.integers(len(places))
    rolled = np.roll(observer.templates[k], places[choice], (0, 1)).astype(float)
    weights = rolled - observer.mirror * rolled[:, ::-1]
    if observer.norm == "linf":
        return sign * np.sign(weights)
    return sign * weights / np.linalg.norm(weights)


def attacked(observer, image, sign, epsilon, rng, steps=30):
    """Most extreme score that projected gradients find."""
    delta, extreme = np.zeros(image.shape), -np.inf
    for _ in range(steps):
        delta = delta + epsilon / 3 * step_of(observer, image + delta, rng, sign)
        if observer.norm == "linf":
            delta = np.clip(delta, -epsilon, epsilon)
        else:
            delta *= min(1, epsilon / np.linalg.norm(delta))
        moved = np.clip(image + delta, 0, 1)[None]
        extreme = max(extreme, sign * observer.scores(moved)[0][0])
    return extreme


def test_no_attack_breaks_a_certificate(fitted):
    observer, (healthy, tumour, _) = fitted
    rng = np.random.default_rng(2)
    epsilon = EPSILON[observer.norm]
    broken, far = 0, []
    for images, sign in ((healthy, 1), (tumour, -1)):
        labels = np.full(len(images), int(sign < 0))
        certified = observer.certify(images, labels, epsilon)
        assert certified.any()
        high, low = observer.scores(images, epsilon)
        bound = high if sign > 0 else -low
        for row in range(12):
            found = attacked(observer, images[row], sign, epsilon, rng)
            broken += certified[row] and (found > 0 if sign > 0 else found >= 0)
            assert found <= bound[row] + 1e-4
            clean = sign * observer.scores(images[row : row + 1])[0][0]
            far.append((found - clean) / (bound[row] - clean))
    assert broken == 0
    # The attack is no straw man: it goes most of the way to the bound.
    assert max(far) > 0.7


def test_certified_accuracy_is_under_the_ceiling_and_falls(fitted):
    observer, (healthy, tumour, _) = fitted
    norm = observer.norm
    spectrum = np.full(SHAPE, 0.04**2)
    last = 1.0
    for epsilon in (0.0, EPSILON[norm], 2 * EPSILON[norm], 10 * EPSILON[norm]):
        right = [
            observer.certify(images, np.full(len(images), label), epsilon).mean()
            for label, images in ((0, healthy), (1, tumour))
        ]
        ceiling = evaluation.observe_in_stationary_noise(
            tumour - healthy, spectrum, epsilon, norm
        ).ceiling.mean()
        assert np.mean(right) <= ceiling + 0.02
        assert np.mean(right) <= last
        last = np.mean(right)
    assert last < 0.1


def test_a_twin_attack_never_meets_a_certified_pair(fitted):
    """Twins certified at a radius are further apart than twice the radius."""
    observer, (healthy, tumour, _) = fitted
    near = healthy + 0.3 * (tumour - healthy)
    for epsilon in (EPSILON[observer.norm], 3 * EPSILON[observer.norm]):
        both = observer.certify(healthy, np.zeros(len(healthy)), epsilon)
        both &= observer.certify(near, np.ones(len(near)), epsilon)
        bound = evaluation.pair_bound(healthy, near, epsilon, observer.norm)
        assert not (both & bound.conflicts).any()


def test_clean_scores_find_most_lesions(fitted):
    observer, (healthy, tumour, _) = fitted
    right = [(observer.scores(healthy)[0] <= 0), (observer.scores(tumour)[0] > 0)]
    assert np.mean(right) > 0.8
    assert observer.training_accuracy > 0.6


@pytest.mark.fast
def test_responses_are_inner_products(rng):
    images, template = rng.normal(size=(2, 6, 8)), rng.normal(size=(6, 8))
    found = scanning.responses(images, template, 0.5)
    looked_at = images - 0.5 * images[..., ::-1]
    for place in ((0, 0), (2, 5)):
        expected = (looked_at * np.roll(template, place, (0, 1))).sum((1, 2))
        np.testing.assert_allclose(found[:, *place], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.fast
def test_the_threshold_is_the_best(rng):
    healthy, tumour = rng.normal(0, 1, 30), rng.normal(1.5, 1, 40)

    def accuracy(t):
        return ((healthy <= t).mean() + (tumour > t).mean()) / 2

    best = max(accuracy(t) for t in np.linspace(-5, 5, 20_001))
    assert accuracy(scanning_fit.best_threshold(healthy, tumour)) >= best


@pytest.mark.fast
def test_the_background_spectrum_has_the_variance_of_the_noise(rng):
    images = 0.5 + 0.1 * rng.normal(size=(200, *SHAPE))
    spectrum = scanning_fit.background_spectrum(images, np.ones(images.shape, bool))
    assert spectrum.mean() == pytest.approx(0.01, rel=0.05)
    assert spectrum.std() < 0.2 * spectrum.mean()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tumour": np.zeros((8, 5, 4))}, "need the same"),
        ({"num_sizes": 5}, "num_sizes must be from 1 to half of 8"),
        ({"erased": (0.5, 1.0)}, "erased needs shares"),
        ({"erased": ()}, "erased needs shares"),
    ],
)
def test_bad_training_sets_are_named(changes, message):
    zero = np.zeros((8, 4, 4))
    arguments = {
        "healthy": zero, "tumour": zero, "body": zero > 0, "epsilons": [0.1],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        evaluation.fit_scanning_observers(**arguments | changes)

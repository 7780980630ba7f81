"""The benchmark's second implementation, and what it takes for a failure."""

import copy

import jax
import numpy as np
import pytest

from benchmarks import certificates
from configs import default
from experiments.certify_arms import CERTIFY, base_key
from tests.evaluation.smoothed_models import (
    make_examples,
    perceptron,
    perceptron_params,
)
from wbad_jax.evaluation import SmoothedEvaluator


def test_the_second_implementation_agrees_with_the_first():
    config = default.get_config("smoke")
    config.certificates.num_samples = 300
    config.certificates.sigmas = (0.3,)
    examples, params = make_examples(6), perceptron_params(classes=2)
    found = SmoothedEvaluator(perceptron, batch_size=4).certify(
        params, examples, jax.random.fold_in(base_key(config), CERTIFY), 0.3,
        num_selection=10, num_samples=300, alpha=config.certificates.alpha,
    )  # fmt: skip
    network = jax.jit(perceptron(params))
    pairs = zip(examples.images, certificates._keys(config, examples), strict=True)
    for index, (image, keys) in enumerate(pairs):
        predicted, radius = certificates.slow_certify(network, image, keys, config)
        assert radius == pytest.approx(found.radius[index], abs=1e-9)
        assert (predicted == -1) == found.abstained[index]
        assert predicted in (-1, found.predicted[index])
    assert 0 < found.abstained.sum() < 6


CHECKS = {
    "certified": 2,
    "violations": 0,
    "contradictory_twins": 0,
    "radii_certified_above_empirical": [],
    "radii_above_pair_bound": [],
}
CURVE = {
    "arm": "denoise",
    "radius": [0.0, 0.1],
    "ci_low": [0.4, 0.2],
    "ci_high": [1.0, 0.9],
    "checks": CHECKS,
}


@pytest.mark.fast
@pytest.mark.parametrize(("other", "within"), [(0.2, True), (0.01, False)])
def test_another_certified_accuracy_is_seen(other, within):
    lines = [
        {"radius": 0.2, "predicted": 0, "abstained": False},
        {"radius": 0.0, "predicted": 1, "abstained": True},
    ]
    again = {
        "labels": np.array([0, 1]),
        "predicted": np.array([0, -1]),
        "radius": np.array([other, 0.0]),
        "minutes": 1.0,
    }
    found = certificates.compare({"curves": [CURVE]}, lines, again)
    assert found["certified_accuracy"] == [0.5, 0.5 * (other > 0.1)]
    assert found["within_interval"] == within
    assert found["largest_difference_of_radii"] == pytest.approx(0.2 - other)


@pytest.mark.fast
def test_any_failed_check_is_a_failure():
    report = {
        "runs": [{"curves": [CURVE]}],
        "second_implementation": {"within_interval": True},
    }
    assert certificates.holds(report)
    for name, value in CHECKS.items():
        if name == "certified":
            continue
        broken = copy.deepcopy(report)
        failed = 1 if value == 0 else [0.1]
        broken["runs"][0]["curves"][0]["checks"][name] = failed
        assert not certificates.holds(broken)
    report["second_implementation"]["within_interval"] = False
    assert not certificates.holds(report)

"""The made-up decisions of the binarization test."""

import numpy as np
import pytest

from tests.evaluation import small_models as small
from wbad_jax.evaluation.binarization import binarization, fit_heads


@pytest.mark.fast
def test_heads_lie_halfway_between_inner_and_surface_points():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 20, 40)).astype(np.float32)
    features[:, :, 7] = 3.0  # a feature that does not vary
    heads = fit_heads(features, scale=2.5)
    assert heads.separable.all()
    scores = np.einsum("npf,nf->np", features, heads.weights) + heads.bias[:, None]
    np.testing.assert_allclose(scores[:, -1], 1.25, rtol=1e-3)
    np.testing.assert_allclose(scores[:, :-1].max(axis=1), -1.25, rtol=1e-3)


@pytest.mark.fast
def test_what_cannot_be_told_apart_is_said_so():
    features = np.zeros((2, 6, 3), np.float32)
    features[1] = np.eye(6, 3)
    heads = fit_heads(features, scale=1.0)
    assert not heads.separable[0]
    assert not np.any(heads.weights[0])


def test_the_evidence_of_the_test():
    verdict = binarization(small.make_subject(), small.SIZES)
    evidence = verdict.evidence
    assert evidence["inner_points"] == small.HIDDEN // 2
    assert evidence["features"] == small.HIDDEN
    assert evidence["n"] + evidence["not_separable"] == small.SIZES.noise_examples
    assert evidence["success"] >= 0.95
    assert evidence["random_success"] < 0.5


def test_an_attack_of_no_effort_fails():
    """One step far too short: what is there is not found."""
    weak = small.PGD.__class__(num_steps=1, step_size=0.01, start="clean")
    verdict = binarization(small.make_subject(attack=weak), small.SIZES)
    assert verdict.status == "fail"
    assert "proves nothing" in verdict.sentence


def test_without_features_it_does_not_run():
    subject = small.make_subject(features_of={})
    assert binarization(subject, small.SIZES).status == "not_run"

"""Planted faults are caught, each by its check; an honest classifier passes all."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation import small_models as small
from wbad_jax import evaluation
from wbad_jax.evaluation import SUBJECT_CHECKS


def run(check, subject):
    return SUBJECT_CHECKS[check](subject, small.SIZES)


@pytest.fixture(scope="module")
def honest():
    return small.make_subject()


def test_the_honest_classifier_is_worth_attacking(honest):
    clean = np.argmax(honest.clean_logits, axis=-1) == honest.examples.labels
    assert clean.mean() > 0.9
    assert 0.3 < honest.withstood.mean() < clean.mean()


@pytest.mark.parametrize("check", SUBJECT_CHECKS)
def test_an_honest_classifier_passes(check, honest):
    verdict = run(check, honest)
    assert verdict.status == "pass", verdict


@pytest.mark.parametrize(
    ("model", "checks"),
    [
        (small.detached, ("C3",)),
        (small.stopped, ("C3", "C4")),
        (small.confident, ("C5",)),
        (small.probabilities, ("C5",)),
        (small.quantised, ("C4",)),
        (small.noisy, ("C6",)),
        (small.mixing, ("C6",)),
        (small.rugged, ("C3", "C22")),
    ],
)
def test_a_planted_fault_is_caught(model, checks):
    subject = small.make_subject(model)
    for check in checks:
        verdict = run(check, subject)
        assert verdict.status == "fail", (check, verdict)


def test_without_gradients_search_finds_what_attacks_leave():
    subject = small.make_subject(small.stopped)
    verdict = run("C12", subject)
    assert verdict.status == "fail"
    assert verdict.evidence["square_broken"] == len(verdict.evidence["square_ids"])
    assert run("C20", with_features(small.stopped)).status == "fail"
    assert run("C11", subject).status == "fail"


def with_features(model):
    """The features of a classifier whose gradient is stopped, too."""
    from wbad_jax import denoise  # noqa: PLC0415

    del model
    import jax  # noqa: PLC0415

    def features(params):
        return lambda images: small.hidden_of(
            params,
            jax.lax.stop_gradient(denoise.wavelet_denoise(images, small.DENOISER)),
        )

    return small.make_subject(small.stopped, features_of={"exact": features})


def test_noise_finds_what_a_blind_attack_leaves():
    """A classifier at the edge of its decision, with no gradient to follow."""
    subject = small.make_subject(small.stopped)
    edge = evaluation.Subject.survivors(subject, 8)
    # Images moved to where noise decides.
    wide = dataclasses.replace(edge, epsilon=0.3)
    verdict = run("C13", wide)
    assert verdict.status == "fail"


def test_an_attack_of_one_step_under_another_name():
    subject = small.make_subject(attack=small.NominalPGD())
    verdict = run("C8", subject)
    assert verdict.status == "fail"
    assert "does not take the 40 steps" in verdict.sentence


def test_an_attack_that_forgets_its_successes():
    subject = small.make_subject(attack=small.Forgetful())
    assert run("C9", subject).status == "fail"


def test_an_attack_over_budget():
    verdict = run("C21", small.make_subject(attack=small.OverBudget()))
    assert verdict.status == "fail"
    assert verdict.evidence["largest_perturbation"] == pytest.approx(1.5, rel=1e-3)


def test_recorded_decisions_that_the_attack_does_not_give_again(honest):
    other = dataclasses.replace(honest, attacked_logits=honest.clean_logits)
    assert run("C21", other).status == "fail"


def test_a_backward_pass_that_the_attack_does_not_follow():
    """The exact gradient is stopped; the one beside it is not followed."""
    blind = small.make_subject(small.stopped)

    @dataclasses.dataclass(frozen=True)
    class Alone:
        norm: str = "linf"

        def __call__(self, *args, surrogates=None, **kwargs):
            return small.PGD(*args, **kwargs)

    open_one = {"open": small.defended}
    ignoring = dataclasses.replace(blind, attack=Alone(), surrogates_of=open_one)
    assert run("C15", ignoring).status == "fail"
    following = dataclasses.replace(blind, surrogates_of=open_one)
    verdict = run("C15", following)
    assert verdict.status == "pass"
    assert "strongest alone: open" in verdict.sentence


def test_images_made_without_a_part_that_break_the_whole():
    blind = small.make_subject(small.stopped)
    part = {"without the denoiser": small.network_of}
    verdict = run("C14", dataclasses.replace(blind, ablations_of=part))
    assert verdict.status == "fail"


def test_a_constant_classifier_is_not_called_masked():
    def constant(params):
        return lambda images: jnp.tile(jnp.asarray([1.0, 0.0]), (len(images), 1))

    verdict = run("C11", small.make_subject(constant))
    assert verdict.status == "not_run"
    assert "one class" in verdict.sentence


def test_nothing_is_searched_where_nothing_withstands(honest):
    none = np.zeros(len(honest.withstood), bool)
    broken = dataclasses.replace(honest, withstood=none)
    for check in ("C12", "C13"):
        assert run(check, broken).status == "not_run"


def test_survivors_are_the_nearest_to_giving_in(honest):
    part = honest.survivors(5)
    gaps = np.abs(np.diff(honest.attacked_logits[honest.withstood]))[:, 0]
    wanted = np.sort(gaps)[:5]
    np.testing.assert_allclose(
        np.abs(np.diff(part.attacked_logits))[:, 0], wanted, rtol=1e-6
    )


@pytest.mark.fast
def test_sizes_of_checks_are_refused_below_one():
    with pytest.raises(ValueError, match="noise_samples must be at least 1, got 0"):
        evaluation.CheckSettings(noise_samples=0)
    functools.partial(evaluation.CheckSettings, tolerance=0.0)()

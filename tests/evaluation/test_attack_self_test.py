"""Attacks on a linear classifier: those that work pass, those that do not fail."""

import dataclasses

import jax
import numpy as np
import pytest

from wbad_jax import attacks, evaluation

SHAPE = (6, 5, 1)
KEY = jax.random.key(0)


def verdict_of(**wanted):
    return evaluation.attack_self_test(wanted, SHAPE, KEY)


def test_working_attacks_pass():
    verdict = verdict_of(
        fgsm=attacks.FGSM(),
        pgd=attacks.PGD(norm="l2", num_steps=20),
        cw=attacks.CarliniWagnerL2(num_searches=5, num_steps=50, learning_rate=1e-3),
    )
    assert verdict.status == "pass", verdict
    assert verdict.evidence["success"]["pgd"] == {
        "inside": 0.0, "outside": 1.0, "far_outside": 1.0
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Scaled:
    """PGD with another radius than it is told."""

    factor: float
    norm: str = "linf"

    def __call__(self, *args, epsilon, **kwargs):
        return attacks.PGD()(*args, epsilon=self.factor * epsilon, **kwargs)


@pytest.mark.parametrize(
    ("factor", "words"), [(0.9, "breaks 0% at 101 %"), (1.1, "where no perturbation")]
)
def test_a_wrong_radius_is_noticed(factor, words):
    verdict = verdict_of(pgd=Scaled(factor))
    assert verdict.status == "fail"
    assert words in verdict.sentence


def test_an_attack_that_does_not_search_the_whole_ball_may_fail_outside():
    verdict = verdict_of(low_pass=attacks.LowPassPGD(num_steps=3))
    assert verdict.status == "pass"
    assert verdict.evidence["success"]["low_pass"]["outside"] < 1
    assert verdict_of().status == "not_run"
    assert np.isfinite(verdict.evidence["success"]["low_pass"]["inside"])

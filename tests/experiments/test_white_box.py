"""Suites on what is left, curves, twins, resuming: on images made up for the test."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import attack_suite, settings, white_box
from experiments.attack_suite import plan_attacks, skipped_attacks
from experiments.cohort import Fold, examples_of
from experiments.config_checks import check_values
from experiments.config_errors import ConfigError
from experiments.evaluate_arms import evaluate_fold
from experiments.evaluation_parts import Parts
from tests.experiments.test_cohort_training import make_dataset
from wbad_jax import evaluation
from wbad_jax.evaluation import Evaluator
from wbad_jax.training import StopRequestedError

SIZE = 16
EPSILON = 0.04
NETWORK = {"model.name": "tests.models.user_networks:Perceptron"}


def make_fold(num_patients=8):
    """Warm spots of different height on noise; both states of each patient."""
    rng = np.random.default_rng(0)
    shape = (num_patients, 1, 2, SIZE, SIZE, 1)
    images = np.repeat(rng.normal(0.5, 0.02, shape)[:, :, :1], 2, axis=2)
    height = np.linspace(0.04, 0.2, num_patients)
    images[:, 0, 1, 4:9, 5:10, 0] += height[:, None, None]
    flat = images.reshape(-1, SIZE, SIZE, 1).astype(np.float32)
    pairs = dataclasses.replace(
        make_dataset(num_patients, 1), images=flat, masks=np.ones(flat.shape, bool)
    )
    test = pairs.subset(pairs.factual)
    return Fold(
        name="", train=pairs, validation=test, test=test, test_pairs=pairs,
        budgets={"linf": EPSILON, "l2": 8 * EPSILON}, baselines={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fold():
    return make_fold()


@pytest.fixture
def small(smoke_config):
    """A config for white-box attacks on one arm, with other fields on request."""

    def load(**overrides):
        fields = {
            "arms": ("undefended", "denoise"),
            "evaluation.protocols": ("clean", "adaptive"),
            "evaluation.attacks": ("fgsm",),
            "evaluation.suite_norms": ("linf",),
            "evaluation.backward_modes": ("identity",),
            "denoiser.wavelet": "haar",
            "denoiser.level": 1,
            **NETWORK,
        }
        return smoke_config("quickstart", **(fields | overrides))

    return load


def trained(config, names):
    arms = {arm.name: arm for arm in settings.build_arms(config, (SIZE, SIZE, 1))}
    return {
        name: (arms[name], arms[name].classifier.init(jax.random.key(3)))
        for name in names
    }


def evaluate(config, fold, tmp_path, names=("denoise",), **more):
    return evaluate_fold(config, fold, trained(config, names), tmp_path, **more)


def half_robust(config, fold):
    """An arm that tells the states apart, and radii at which half of that is lost."""
    images, labels = fold.test.images, fold.test.labels
    ((arm, params),) = trained(config, ["denoise"]).values()

    def score(images, params=params):
        logits = arm.evaluated.logits_fn(params)(images)
        return logits[:, 1] - logits[:, 0]

    outer = params["network"]["outer"]
    values = np.asarray(score(images))
    sign = np.sign(values[labels == 1].mean() - values[labels == 0].mean())
    bias = sign * (outer["bias"] - jnp.array([0, np.median(values)]))
    outer = {"kernel": sign * outer["kernel"], "bias": bias.astype(jnp.float32)}
    params = {**params, "network": {**params["network"], "outer": outer}}
    values = np.asarray(score(images, params))
    gradient = np.asarray(jax.grad(lambda x: score(x, params).sum())(images))
    right = (values > 0) == (labels == 1)
    budgets = {}
    for norm, dual in (("linf", 1), ("l2", 2)):
        slope = np.linalg.norm(gradient.reshape(len(labels), -1), ord=dual, axis=1)
        budgets[norm] = float(np.median((np.abs(values) / slope)[right]))
    return {"denoise": (arm, params)}, dataclasses.replace(fold, budgets=budgets)


def worst_cases(outcomes):
    return {
        (o.condition.arm, o.condition.set, o.condition.norm, o.condition.epsilon): o
        for o in evaluation.add_worst_cases(outcomes)
        if o.condition.attack == "worst_case"
    }


@pytest.mark.slow
def test_attacks_on_what_is_left_break_what_they_break_of_all(
    small, fold, tmp_path, monkeypatch
):
    config = small(**{"evaluation.suite": "short"})
    arms, fold = half_robust(config, fold)
    outcomes = evaluate_fold(config, fold, arms, tmp_path)
    (worst,) = worst_cases(outcomes).values()
    assert 0 < worst.correct.mean() < 1  # or there is nothing to tell apart

    def on_all(*args, **kwargs):
        plans = plan_attacks(*args, **kwargs)
        return [dataclasses.replace(plan, restricted=False) for plan in plans]

    monkeypatch.setattr(white_box, "plan_attacks", on_all)
    of_all = evaluate_fold(config, fold, arms, tmp_path)
    (expected,) = worst_cases(of_all).values()
    np.testing.assert_array_equal(worst.correct, expected.correct)
    # Before the suite nothing is restricted; in it, what is broken stays as it was.
    before = outcomes[0]
    for outcome in outcomes[2:]:
        if outcome.condition.attack == "fgsm":
            assert outcome.evaluated_on == len(before.labels)
        else:
            np.testing.assert_array_equal(outcome.attacked, before.correct)
            kept = ~outcome.attacked
            np.testing.assert_array_equal(outcome.logits[kept], before.logits[kept])
        before = evaluation.worst_case([before, outcome])
    assert sum(o.evaluated_on for o in outcomes) < sum(o.evaluated_on for o in of_all)


def test_modes_on_survivors_break_what_they_break_on_all(small, fold, tmp_path):
    fields = {"evaluation.attacks": ("pgd",), "evaluation.backward_modes": ("smooth",)}
    arms, fold = half_robust(small(**fields), fold)
    *_, everywhere = evaluate_fold(small(**fields), fold, arms, tmp_path)
    fields["evaluation.backward_modes_on"] = "survivors"
    steps = []

    class Counting(Evaluator):
        def attack(self, *args, surrogates, rows, **kwargs):
            steps.append((surrogates, len(rows)))
            return super().attack(*args, surrogates=surrogates, rows=rows, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.evaluate_arms.Evaluator", Counting)
        *_, found = evaluate_fold(small(**fields), fold, arms, tmp_path)
    np.testing.assert_array_equal(found.correct, everywhere.correct)
    assert found.evaluated_on == everywhere.evaluated_on == len(found.labels)
    ((exact, of_all), (modes, survivors)) = steps
    assert (exact, of_all, modes) == ((), len(found.labels), ("smooth",))
    assert found.correct.sum() <= survivors < of_all


@pytest.mark.slow
def test_the_full_suite_runs_on_all_arms_in_both_norms(small, fold, tmp_path):
    config = small(
        **{"evaluation.suite": "full", "evaluation.suite_norms": ("linf", "l2")}
    )
    names = ("undefended", "denoise")
    outcomes = evaluate(config, fold, tmp_path, names)
    for name, (arm, _) in trained(config, names).items():
        ran = [
            (o.condition.attack, o.condition.norm)
            for o in outcomes
            if o.condition.arm == name and o.condition.protocol == "adaptive"
        ]
        assert len(set(ran)) == len(ran)
        skipped = skipped_attacks(config, arm, twins=True)
        expected = set(attack_suite.SUITES["full"]) | {"fgsm"}
        assert {attack for attack, _ in ran} == expected - skipped.keys()
        assert {norm for _, norm in ran} == {"linf", "l2"}


@pytest.mark.parametrize("arm", ["undefended", "denoise"])
def test_no_classifier_exceeds_the_pair_bound(arm, small, fold, tmp_path):
    """With the twins known, a weak attack cannot lift accuracy above it."""
    config = small(
        **{"evaluation.suite": "full", "evaluation.sets": ("test_pairs",),
           "evaluation.attacks": (), "evaluation.suite_norms": ("linf", "l2")}
    )  # fmt: skip
    first = "twin", "template"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attack_suite.SUITES, "full", first)
        worst = worst_cases(evaluate(config, fold, tmp_path, (arm,)))
    pairs = fold.test_pairs
    for norm in ("linf", "l2"):
        epsilon = fold.budgets[norm]
        bound = evaluation.pair_bound(
            pairs.images[pairs.labels == 0, ..., 0],
            pairs.images[pairs.labels == 1, ..., 0],
            epsilon, norm,
        ).accuracy  # fmt: skip
        assert bound < 1  # or nothing is at stake
        assert worst[arm, "test_pairs", norm, epsilon].correct.mean() <= bound


def test_twins_are_the_same_patient_in_the_other_state(fold):
    examples = examples_of(fold.test, fold.test_pairs)
    pairs = fold.test_pairs
    for row in range(len(examples.labels)):
        place = (pairs.patient_ids == examples.patient_ids[row]) & (
            pairs.labels != examples.labels[row]
        )
        np.testing.assert_array_equal(examples.twins[row], pairs.images[place][0])
    # The template is the lesion, whatever the state of the image.
    data = white_box.twin_data(examples)
    lesions = data["templates"][:, 4:9, 5:10]
    assert np.all(lesions > 0.03)
    assert np.all(np.delete(data["templates"], np.s_[4:9], axis=1) == 0)
    np.testing.assert_array_equal(data["places"][3, 0], 0)
    assert examples_of(fold.test, fold.test).twins is None
    assert examples_of(fold.test).twins is None


def test_curves_never_rise_and_one_search_serves_them(small, fold, tmp_path):
    config = small(
        **{"evaluation.curve_multiples": (0.5, 1.0, 2.0), "evaluation.attacks": ()}
    )
    arms, fold = half_robust(config, fold)
    outcomes = evaluate_fold(config, fold, arms, tmp_path)
    mine = [o for o in outcomes if o.condition.set == "test"]
    matrix = evaluation.correct_matrix(
        [o for o in mine if o.condition.norm in (None, "linf")]
    )
    expected = fold.budgets["linf"] * np.array([0.5, 1, 2])
    np.testing.assert_allclose(matrix.epsilons[1:], expected)
    assert matrix.attacks == ("none", "minimal_norm", "apgd")
    assert matrix.evaluated[1:, 1:].all()
    accuracy = matrix.robust_accuracy
    assert np.all(np.diff(accuracy) <= 0)
    assert accuracy[-1] < accuracy[0]
    # The rows of single radii say the same: broken examples are carried along.
    worst = worst_cases(mine)
    for epsilon, value in zip(matrix.epsilons[1:], accuracy[1:], strict=True):
        row = worst["denoise", "test", "linf", epsilon]
        assert row.correct.mean() == value
    searched = [o.seconds > 0 for o in mine if o.condition.attack == "minimal_norm"]
    assert sum(searched) == 1


class StopAfter:
    """Asks to stop before a batch, counted from the first."""

    def __init__(self, batches):
        self.left = batches

    def check(self, message):
        self.left -= 1
        if self.left < 0:
            raise StopRequestedError(message)


def test_resumed_in_the_middle_of_an_attack_it_gives_the_same_bits(
    small, fold, tmp_path, monkeypatch
):
    config = small(
        **{"evaluation.suite": "short", "evaluation.suite_batch_size": 2,
           "evaluation.batch_size": 4}
    )  # fmt: skip
    expected = evaluate(config, fold, tmp_path / "whole")
    steps = []
    step = Evaluator._step

    def counted(self, *args):
        run = step(self, *args)
        return lambda *inputs: steps.append(None) or run(*inputs)

    monkeypatch.setattr(Evaluator, "_step", counted)
    evaluate(config, fold, tmp_path / "counted")
    total = len(steps)
    folder = tmp_path / "stopped"
    del steps[:]
    halves = 0  # of attacks, that lay there after a stop
    for attempt in range(100):
        # The eighth batch is the second of the first attack.
        stop = StopAfter(12 if attempt else 7)
        try:
            outcomes = evaluate(
                config, fold, folder, parts=Parts(folder, config), stop=stop
            )
            break
        except StopRequestedError:
            halves += len(list((folder / "outcomes").glob("*-batch*.npz")))
    assert halves
    assert len(steps) == total  # no batch was computed twice
    assert not list((folder / "outcomes").glob("*-batch*"))
    assert len(outcomes) == len(expected)
    for one, other in zip(outcomes, expected, strict=True):
        assert one.condition == other.condition
        for field in ("logits", "distance", "attacked", "example_ids"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_what_does_not_apply_is_left_out_with_the_reason(small):
    def skipped(twins=True, arm="denoise", **overrides):
        both = {"evaluation.suite": "full", "evaluation.suite_norms": ("linf", "l2")}
        config = small(**{**both, **overrides})
        ((arm, _),) = trained(config, [arm]).values()
        names = {plan.name for plan in plan_attacks(config, arm, twins=twins)}
        reasons = skipped_attacks(config, arm, twins=twins)
        suite = attack_suite.SUITES[config.evaluation.suite]
        assert names == {*suite, "fgsm"} - reasons.keys()
        return reasons

    assert skipped() == {}
    assert set(skipped(twins=False)) == {"twin", "template"}
    open_arm = skipped(arm="undefended")
    assert set(open_arm) == {"threshold_estimator", "threshold_crossing"}
    assert "no denoiser" in open_arm["threshold_crossing"]
    fixed = {"denoiser.threshold_rule": "fixed", "denoiser.threshold": 0.01}
    assert "noise level" in skipped(**fixed)["threshold_estimator"]
    spun = skipped(**{"denoiser.max_shifts": 1})
    assert "shifts" in spun["threshold_crossing"]
    assert skipped(**{"evaluation.suite": "short"}, twins=False).keys() == {
        "twin", "template",
    }  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"evaluation.suite": "complete"}, ["evaluation.suite", "short", "'complete'"]),
        ({"evaluation.suite_norms": ("l1",)}, ["suite_norms", "linf", "l1"]),
        ({"evaluation.suite_norms": ()}, ["suite_norms", "at least one"]),
        ({"evaluation.suite_batch_size": 0}, ["suite_batch_size", "at least 1", "0"]),
        ({"evaluation.curve_multiples": (1.0, -1.0)}, ["curve_multiples", "-1.0"]),
        (
            {"evaluation.suite": "full", "evaluation.fmn.num_steps": 0},
            ["evaluation.fmn", "num_steps", "0"],
        ),
        (
            {"evaluation.suite": "full", "evaluation.threshold_crossing.rounds": 0},
            ["evaluation.threshold_crossing", "rounds", "0"],
        ),
        (
            {"evaluation.backward_modes_on": "none"},
            ["backward_modes_on", "survivors", "'none'"],
        ),
        ({"evaluation.attacks": ("twin",)}, ["evaluation.attacks", "twin", "suite"]),
        (
            {"evaluation.attacks": ("threshold_crossing",)},
            ["evaluation.threshold_crossing", "denoiser"],
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(overrides, words, small):
    with pytest.raises(ConfigError) as error:
        check_values(small(**overrides))
    for word in words:
        assert word in str(error.value)

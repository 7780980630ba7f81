"""Graybox perturbations: the same bytes for all arms, a control, one split."""

import jax
import numpy as np
import pytest

from experiments import graybox
from experiments.config_errors import ConfigError
from experiments.evaluate_arms import evaluate_fold
from experiments.graybox import load_surrogates, read_records
from experiments.run_folder import record_config
from tests.experiments.test_white_box import NETWORK, make_fold, trained
from wbad_jax.attacks import FGSM


@pytest.fixture(scope="module")
def fold():
    return make_fold()


@pytest.fixture
def config(smoke_config):
    return smoke_config(
        "quickstart",
        **{
            "evaluation.protocols": ("clean", "graybox"),
            "evaluation.attacks": ("fgsm",),
            "evaluation.surrogates": ("runs/b", "runs/c"),
            **NETWORK,
        },
    )


@pytest.fixture
def other_runs(monkeypatch, config):
    """Undefended networks of other seeds, as if trained in other folders."""
    names = "runs/b", "runs/c"

    def restore(config, folder, fold):
        arm, _ = trained(config, ["undefended"])["undefended"]
        seed = names.index(str(folder)) + 1
        return arm, arm.classifier.init(jax.random.key(100 + seed)), seed

    monkeypatch.setattr(graybox, "_restore", restore)


def test_every_arm_sees_the_same_images_of_every_surrogate(
    config, fold, other_runs, tmp_path
):
    arms = trained(config, ["undefended", "wbad"])
    outcomes = evaluate_fold(config, fold, arms, tmp_path)
    found = [o for o in outcomes if o.condition.protocol == "graybox"]
    assert [(o.condition.arm, o.condition.surrogate) for o in found] == [
        (arm, surrogate)
        for arm in ("undefended", "wbad")
        for surrogate in ("runs/b", "runs/c")
    ]
    records = read_records(tmp_path)
    assert [record["surrogate_seed"] for record in records] == [1, 2]
    assert all(record["control"] for record in records)
    assert len({record["images_sha256"] for record in records}) == 2
    # By hand: FGSM on the surrogate, and what an arm makes of it.
    surrogate = load_surrogates(config, fold, arms, tmp_path)[0]
    logits_fn = surrogate.arm.evaluated.logits_fn(surrogate.params)
    made = FGSM()(
        logits_fn, jax.random.key(0), fold.test.images, fold.test.labels,
        epsilon=fold.budgets["linf"],
    )  # fmt: skip
    assert records[0]["surrogate_success"] == pytest.approx(np.mean(made.success))
    for outcome in found:
        if outcome.condition.surrogate == "runs/b":
            arm, params = arms[outcome.condition.arm]
            logits = arm.evaluated.logits_fn(params)(made.adversarial)
            np.testing.assert_allclose(outcome.logits, logits, atol=1e-4)


def test_the_own_network_is_left_out_where_there_are_others(
    config, fold, other_runs, tmp_path
):
    arms = trained(config, ["undefended", "wbad"])
    arm, _ = arms["undefended"]
    own = arm.classifier.init(jax.random.key(101))  # as if trained like that of runs/b
    arms["undefended"] = (arm, own)
    (surrogate,) = load_surrogates(config, fold, arms, tmp_path)
    assert (surrogate.name, surrogate.control) == ("runs/c", True)


def test_without_other_runs_there_is_no_control(smoke_config, fold, tmp_path):
    config = smoke_config("quickstart", **NETWORK)
    arms = trained(config, ["undefended", "wbad"])
    (surrogate,) = load_surrogates(config, fold, arms, tmp_path)
    assert (surrogate.name, surrogate.control) == ("undefended", False)
    nothing = smoke_config("quickstart", **{"evaluation.protocols": ("adaptive",)})
    assert load_surrogates(nothing, fold, arms, tmp_path) == []


@pytest.mark.parametrize(
    ("field", "value"), [("split_seed", 5), ("test_fraction", 0.3)]
)
def test_a_surrogate_of_another_split_may_have_seen_the_test_patients(
    field, value, config, smoke_config, fold, tmp_path
):
    theirs = smoke_config("quickstart", **{f"data.{field}": value})
    folder = tmp_path / "other"
    folder.mkdir()
    record_config(theirs, folder)
    with config.unlocked():
        config.evaluation.surrogates = (str(folder),)
    with pytest.raises(ConfigError, match=rf"same split.*data.{field}.*{value}"):
        load_surrogates(config, fold, trained(config, ["undefended"]), tmp_path)


def test_a_surrogate_without_the_arm_is_refused(config, smoke_config, fold, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    arms = {"arms": ("denoise",), "evaluation.protocols": ("adaptive",)}
    record_config(smoke_config("quickstart", **arms), folder)
    with config.unlocked():
        config.evaluation.surrogates = (str(folder),)
    with pytest.raises(ConfigError, match="no arm 'undefended'"):
        load_surrogates(config, fold, trained(config, ["undefended"]), tmp_path)

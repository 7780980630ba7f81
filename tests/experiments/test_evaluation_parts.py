"""Parts of an evaluation are found again, and only where nothing has changed."""

import dataclasses

import numpy as np
import pytest

from experiments.evaluation_parts import Parts
from wbad_jax.evaluation import Attacked, Condition, Outcome

CONDITION = Condition(
    arm="baseline:age", set="test", protocol="adaptive", attack="pgd", norm="linf",
    epsilon=1 / 128, seed=0,
)  # fmt: skip
IDENTITY = {"parameters": "abc", "images": "def"}


def make_outcome(condition=CONDITION):
    rng = np.random.default_rng(0)
    return Outcome(
        condition=condition,
        example_ids=np.array(["a", "b", "c"]),
        patient_ids=np.arange(3),
        labels=np.array([0, 1, 1], np.int32),
        logits=rng.normal(size=(3, 2)).astype(np.float32),
        distance=rng.random(3).astype(np.float32),
        seconds=0.25,
    )


def assert_same(actual, expected):
    for field in dataclasses.fields(expected):
        value, wanted = getattr(actual, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(value, wanted)
        assert getattr(value, "dtype", None) == getattr(wanted, "dtype", None)


def refuse():
    raise AssertionError("made again")


def test_parts_are_found_as_they_were_made(smoke_config, tmp_path):
    config = smoke_config("quickstart")
    outcome = make_outcome()
    images = np.random.default_rng(1).random((3, 4, 4, 1)).astype(np.float32)
    attacked = Attacked(
        images=images, logits=outcome.logits, distance=outcome.distance, seconds=1.5
    )
    name = dataclasses.asdict(CONDITION)
    Parts(tmp_path, config).outcome(CONDITION, IDENTITY, lambda: outcome)
    Parts(tmp_path, config).attacked(name, IDENTITY, lambda: attacked)
    again = Parts(tmp_path, config)
    assert_same(again.outcome(CONDITION, IDENTITY, refuse), outcome)
    assert_same(again.attacked(name, IDENTITY, refuse), attacked)
    # A place for the data is no setting.
    elsewhere = smoke_config("quickstart", **{"data.data_dir": str(tmp_path)})
    assert_same(
        Parts(tmp_path, elsewhere).outcome(CONDITION, IDENTITY, refuse), outcome
    )
    again.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "condition", "identity"),
    [
        ({"evaluation.pgd.num_steps": 3}, {}, {}),
        ({"evaluation.surrogate": "runs/other"}, {}, {}),
        ({"seed": 1}, {}, {}),
        ({}, {"epsilon": 1 / 127.99}, {}),
        ({}, {"set": "test_pairs"}, {}),
        ({}, {}, {"parameters": "abd"}),
        ({}, {}, {"surrogate": {"parameters": "abc"}}),
    ],
)
def test_what_was_made_otherwise_is_not_used(
    overrides, condition, identity, smoke_config, tmp_path
):
    before = Parts(tmp_path, smoke_config("quickstart"))
    before.outcome(CONDITION, IDENTITY, make_outcome)
    now = Parts(tmp_path, smoke_config("quickstart", **overrides))
    other = dataclasses.replace(CONDITION, **condition)
    with pytest.raises(AssertionError, match="made again"):
        now.outcome(other, IDENTITY | identity, refuse)


def test_nothing_is_kept_where_there_is_no_folder(smoke_config):
    parts = Parts(None, smoke_config("quickstart"))
    parts.outcome(CONDITION, IDENTITY, make_outcome)
    with pytest.raises(AssertionError, match="made again"):
        parts.outcome(CONDITION, IDENTITY, refuse)
    parts.remove()


def test_records_are_kept_by_all_they_depend_on(smoke_config, tmp_path):
    config = smoke_config("quickstart")
    parts = Parts(tmp_path, config, "checks")
    record = {"status": "pass", "evidence": {"n": 3, "share": 0.1, "ids": None}}
    assert parts.record("fold0/wbad-C4", IDENTITY, lambda: record) == record
    again = Parts(tmp_path, config, "checks")
    assert again.record("fold0/wbad-C4", IDENTITY, refuse) == record
    for name, identity in (("wbad-C5", IDENTITY), ("fold0/wbad-C4", {})):
        with pytest.raises(AssertionError, match="made again"):
            again.record(name, identity, refuse)
    with pytest.raises(ValueError, match="not JSON compliant"):
        again.record("nan", IDENTITY, lambda: {"value": float("nan")})
    again.remove()
    assert not list(tmp_path.iterdir())

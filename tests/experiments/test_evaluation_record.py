"""The bracket of a run: that of its cohort, version and radii, or an error."""

import dataclasses
import json

import pytest

from experiments.config_errors import ConfigError
from experiments.evaluation_record import evaluation_meta, read_bracket
from tests.experiments.test_white_box import make_fold, trained

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def fold():
    return make_fold(2)


def bracket_file(path, fold, multiples=(1.0, 2.0), norms=("linf", "l2"), **changes):
    rows = [
        {
            "norm": norm,
            "epsilon": fold.budgets[norm] * multiple,
            "pair_bound": {"accuracy": 0.9},
            "informed": {"ceiling": 0.8, "ci_low": 0.7, "ci_high": 0.85},
            "scanning": {"accuracy": 0.6, "ci_low": 0.5, "ci_high": 0.65},
        }
        for norm in norms
        for multiple in multiples
    ]
    file = {"cohort": fold.test.name, "version": fold.test.version, "rows": rows}
    path.write_text(json.dumps(file | changes))
    return str(path)


def test_records_are_those_of_the_file(smoke_config, fold, tmp_path):
    path = bracket_file(tmp_path / "ceiling.json", fold)
    config = smoke_config(
        "quickstart",
        **{"evaluation.bracket": path, "evaluation.curve_multiples": (2.0,)},
    )
    records = read_bracket(config, [fold])
    assert [record["norm"] for record in records] == ["linf", "linf", "l2", "l2"]
    assert records[0] == {
        "norm": "linf", "epsilon": fold.budgets["linf"], "pair_bound": 0.9,
        "ceiling": 0.8, "ceiling_low": 0.7, "ceiling_high": 0.85,
        "certified": 0.6, "certified_low": 0.5, "certified_high": 0.65,
    }  # fmt: skip
    assert read_bracket(smoke_config("quickstart"), [fold]) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cohort": "other"}, ["cohort", "'test'", "'other'"]),
        ({"version": "0.9"}, ["version", "'1.0.0'", "'0.9'"]),
        ({"multiples": (2.0,)}, ["every radius", "linf row at 0.04"]),
        ({"multiples": (1.0001, 2.0)}, ["every radius", "0.040004"]),
        ({"rows": [{"norm": "linf"}]}, ["experiments.ceiling", "KeyError"]),
    ],
)
def test_one_that_does_not_fit_is_refused(changes, words, smoke_config, fold, tmp_path):
    path = bracket_file(tmp_path / "ceiling.json", fold, **changes)
    config = smoke_config("quickstart", **{"evaluation.bracket": path})
    with pytest.raises(ConfigError) as error:
        read_bracket(config, [fold])
    for word in ("evaluation.bracket", *words):
        assert word in str(error.value)


def test_a_norm_that_the_file_leaves_out_is_no_error(smoke_config, fold, tmp_path):
    path = bracket_file(tmp_path / "ceiling.json", fold, norms=("linf",))
    config = smoke_config("quickstart", **{"evaluation.bracket": path})
    assert len(read_bracket(config, [fold])) == 2


def test_missing_and_damaged_files_are_named(smoke_config, fold, tmp_path):
    for content in (None, "{", "[]"):
        path = tmp_path / "ceiling.json"
        if content is not None:
            path.write_text(content)
        config = smoke_config("quickstart", **{"evaluation.bracket": str(path)})
        with pytest.raises(ConfigError, match=r"evaluation.bracket.*ceiling.json"):
            read_bracket(config, [fold])


def test_the_record_says_what_was_left_out(smoke_config, fold, tmp_path):
    config = smoke_config("quickstart", **{"evaluation.suite": "full"})
    arms = trained(config, ["undefended", "wbad"])
    alone = dataclasses.replace(fold, test_pairs=fold.test)
    meta = evaluation_meta(config, [alone], [arms], tmp_path)
    assert meta["suite"] == "full"
    assert set(meta["skipped_attacks"]["wbad"]) == {"twin", "template"}
    assert "no denoiser" in meta["skipped_attacks"]["undefended"]["threshold_crossing"]
    assert meta["graybox"] == []
    json.dumps(meta, allow_nan=False)

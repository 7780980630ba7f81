"""Networks trained for several radii, from runs made by hand."""

import json

import pytest

from benchmarks import radii
from configs import default
from experiments.run_folder import to_plain
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def make_run(folder, celsius, left, drawn_from=(1.0, 1.0)):
    """One seed: what withstands half of a radius, and the radius."""
    config = default.get_config("smoke")
    config.arms = ("lesion_map",)
    config.arm.lesion_map.epsilon_range = drawn_from
    config.attack.epsilon_celsius = celsius
    folder.mkdir(parents=True)
    record = {"config": to_plain(config)}
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "results.json").write_text("{}")
    known = {"arm": "lesion_map", "labels": [0, 0, 1, 1]}
    outcomes = [outcome([1, 1, 1, 0], **known)]
    outcomes += [
        outcome(right, attack="apgd", epsilon=epsilon, **known)
        for epsilon, right in zip((0.01, 0.02), left, strict=True)
    ]
    evaluation.write_parquet(outcomes, folder / "predictions.parquet")


def test_networks_stand_by_their_radius_with_all_radii_attacked(tmp_path):
    make_run(tmp_path / "celsius_0.5" / "seed0", 0.5, ([1, 1, 0, 0], [1, 0, 0, 0]))
    make_run(tmp_path / "celsius_0.25" / "seed0", 0.25, ([1, 1, 1, 0], [0, 0, 0, 0]))
    right = ([1, 1, 1, 0], [1, 0, 0, 0])
    make_run(tmp_path / "all" / "seed0", 0.25, right, drawn_from=(0.5, 2.0))
    networks = radii.report_of(tmp_path)["networks"]
    trained = [each["trained_celsius"] for each in networks]
    assert trained == [[0.25, 0.25], [0.5, 0.5], [0.125, 0.5]]
    worst = {
        (each["run"], row["epsilon"]): row["accuracy"]
        for each in networks
        for row in each["rows"]
        if row["attack"] == "worst_case"
    }
    assert worst == {
        ("celsius_0.25", 0.01): 0.75, ("celsius_0.25", 0.02): 0.0,
        ("celsius_0.5", 0.01): 0.5, ("celsius_0.5", 0.02): 0.25,
        ("all", 0.01): 0.75, ("all", 0.02): 0.25,
    }  # fmt: skip
    assert networks[1]["rows"][0]["specificity"] == 1.0


def test_nothing_finished_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        radii.report_of(tmp_path)

"""Accuracy at all radii beside its bracket, and what was wanted of it."""

import pytest

from docs.figures import results_cohort, results_cost, results_radii, results_targets

pytestmark = pytest.mark.fast
ARMS = {"adversarial": "adversarial", "lesion_map": "best: lesion map"}


def row(arm, epsilon, accuracy, attack="worst_case", protocol="adaptive"):
    return {
        "arm": arm, "protocol": protocol, "attack": attack, "norm": "linf",
        "epsilon": epsilon, "accuracy": accuracy, "ci_low": accuracy - 0.05,
        "ci_high": accuracy + 0.05,
    }  # fmt: skip


def bound(multiple, ceiling, certified, resolvable=10):
    return {
        "multiple": multiple, "epsilon": 0.01 * multiple,
        "epsilon_celsius": 0.16 * multiple,
        "informed": {"ceiling": ceiling, "resolvable": resolvable, "patients": 10},
        "certified": {"accuracy": certified, "ci_low": certified, "ci_high": certified},
    }  # fmt: skip


BRACKET = [bound(0.5, 1.0, 0.8), bound(1.0, 0.9, 0.7), bound(4.0, 0.55, 0.5)]
ROWS = [
    row("lesion_map", 0.005, 0.96),
    row("lesion_map", 0.005, 0.98, attack="apgd"),
    row("lesion_map", 0.01 * (1 + 1e-9), 0.8),
    row("lesion_map", 0.04, 0.52),
    row("adversarial", 0.01, 0.75),
]


def test_skill_is_the_share_of_what_is_possible_above_a_coin():
    """A ceiling of 0.55 leaves no room, so that radius does not count."""
    found = results_radii.skills(ROWS, BRACKET, "lesion_map")
    assert found == pytest.approx({0.5: 0.92, 1.0: 0.75})


def test_one_line_a_radius():
    skilled = ("lesion_map", "large")
    lines = results_radii.radii_table(ROWS, BRACKET, ARMS, skilled).splitlines()
    assert lines[0].endswith("| best: lesion map | skill of best: lesion map |")
    assert lines[2].startswith("| 1.3/255, 0.080 °C | 100.0 | 80.0 [80.0, 80.0] | - |")
    assert lines[2].endswith("| 96.0 [91.0, 101.0] | 0.92 |")
    assert lines[4].endswith("| 52.0 [47.0, 57.0] | - |")


def test_skill_is_that_of_the_network_trained_for_the_radius():
    def network(celsius, *accuracies):
        clean = row("lesion_map", None, 0.9, attack="none", protocol="clean")
        radii = (0.005, 0.01)
        rows = [row("lesion_map", e, a) for e, a in zip(radii, accuracies, strict=True)]
        other = row("adversarial", None, 0.8, attack="none", protocol="clean")
        return {"trained_celsius": celsius, "rows": [other, clean, *rows]}

    networks = [network((0.08, 0.08), 0.95, 0.6), network((0.16, 0.16), 0.9, 0.7)]
    networks.append(network((0.08, 0.16), 0.93, 0.65))  # on no diagonal
    text = results_radii.trained_table(networks, BRACKET, "lesion_map")
    head, _, clean, half, whole, last = text.splitlines()
    last_two = "trained for 0.080 to 0.160 °C | skill on the diagonal |"
    assert head.endswith(f"trained for 0.160 °C | {last_two}")
    assert clean.startswith("| clean | - | 90.0 [85.0, 95.0] | 90.0")
    assert half.endswith("| 93.0 [88.0, 98.0] | 0.90 |")  # 0.95 under a ceiling of 1
    assert whole.endswith("| 65.0 [60.0, 70.0] | 0.50 |")  # 0.7 under one of 0.9
    assert last.endswith("| - | - | - | - |")


def targets(resolvable=10, **more):
    arms = ("undefended", "wbad", "adversarial", "lesion_map")
    conditions = (
        ("clean", "none", None), ("adaptive", "pgd", "linf"), ("adaptive", "cw", "l2"),
        ("graybox", "fgsm", "linf"), ("graybox", "pgd", "linf"),
        ("graybox", "cw", "l2"), ("adaptive", "worst_case", "linf"),
    )  # fmt: skip
    rows = [
        dict(zip(("protocol", "attack", "norm"), condition, strict=True))
        | {"arm": arm, "accuracy": 0.85 if arm == "lesion_map" else 0.75}
        for arm in arms
        for condition in conditions
    ]
    bracket = {"rows": [BRACKET[0], bound(1.0, 0.9, 0.7, resolvable), BRACKET[2]]}
    return results_targets.targets_table({"rows": rows, **more}, bracket)


def test_targets_over_radii_stand_there_once_they_are_measured():
    assert "skill" not in targets()
    text = targets(radii={"rows": ROWS})
    assert "| skill of best, smallest radius, % | at least 90.0 | 92.0 | yes |" in text
    assert "| skill of best, mean of 2 radii, % | at least 80.0 | 83.5 | yes |" in text
    assert "least of all radii, points | at least 0.0 | 2.0 | yes |" in text
    assert "| best minus adversarial, points | at least 5.0 | 10.0 | yes |" in text


def test_more_patients_have_targets_of_their_own():
    rows = [*ROWS, row("large", 0.005, 0.97), row("large", 0.01, 0.85)]
    ahead = {"reference": "adversarial", "epsilon": 0.01, "difference": 0.04}
    radii = {"rows": rows, "large_minus": [{**ahead, "epsilon": 0.005}, ahead]}
    text = targets(radii=radii)
    assert "best with more patients, smallest radius, % | at least 90.0 | 94.0" in text
    line = "best with more patients minus adversarial, points | at least 5.0 | 4.0 | no"
    assert line in text
    assert text.count("best with more patients") == 4


def test_accuracy_on_resolvable_patients_is_told_where_those_are_all():
    assert (
        "resolvable patients (here all), % | at least 90.0 | 85.0 | no |" in targets()
    )
    assert "resolvable" not in targets(resolvable=9)


def test_the_curve_is_drawn(tmp_path):
    results_radii.draw_radii(ROWS, BRACKET, ARMS, tmp_path)
    assert (tmp_path / "headline_radii.png").stat().st_size > 5000


def test_runs_of_ever_more_patients():
    def run(patients, accuracy, low):
        scores = {
            "accuracy": accuracy, "ci_low": accuracy, "ci_high": accuracy,
            "difference": accuracy - 0.7, "difference_low": low, "difference_high": 0.2,
            "difference_seeds": 1,
        }  # fmt: skip
        return {"patients": patients, "parameters": 32386, "steps": 1600,
                "clean": scores, "adaptive": scores}  # fmt: skip

    lines = results_cohort.cohort_table([run(500, 0.7, 0.0), run(4000, 0.8, 0.05)])
    first, last = lines.splitlines()[2:]
    assert first.startswith("| 500 | 32,386 | 1,600 |")
    assert first.endswith("| - |")
    assert last.endswith("| 80.0 [80.0, 80.0] | +10.0 [+5.0, +20.0] |")


def test_costs_are_told_in_units_of_adversarial_training():
    def cost(arm, total, start=""):
        return {
            "arm": arm, "parameters": 1000, "steps": 800, "init_from": start,
            "step": {"cpu_ms": 123.4}, "total_cpu_s": total,
        }  # fmt: skip

    rows = [cost("adversarial", 400.0, "lesion_map"), cost("lesion_map", 100.0)]
    minutes = {arm: {"adaptive": [1.0, 9.0, 4.0]} for arm in ARMS}
    text = results_cost.cost_table(rows, minutes, ARMS)
    first, last = text.splitlines()[2:]
    assert first == (
        "| adversarial | 1,000 | 800 after best: lesion map | 123 | 400 | 1.00 | 4 |"
    )
    assert last.endswith("| 800 | 123 | 100 | 0.25 | 4 |")


def test_hours_are_those_of_all_arms_and_of_the_graybox_images_of_each_run():
    rows = [{"steps": steps, "step": {"cpu_ms": 300.0}} for steps in (1000, 2000)]
    shared = {"graybox": [10.0, 12.0, 90.0]}
    minutes = {
        "one": {**shared, "adaptive": [1.0, 9.0, 4.0]},
        "two": {**shared, "adaptive": [20.0, 20.0, 20.0]},
        "other run": {"graybox": [9.0], "adaptive": [0.0]},
    }
    text = " ".join(results_cost.hours_sentence(rows, minutes).split())
    assert text == (
        "All arms of one seed: 1.0 hours on one core, of which training takes 15 "
        "minutes, adaptive attacks 24 and graybox 21; sums of medians over seeds."
    )


def test_the_comparison_at_equal_cost_is_told():
    def cell(attack, accuracy):
        return {"attack": attack, "accuracy": accuracy, "ci_low": 0.7, "ci_high": 0.9}

    difference = {
        "difference": 0.05, "difference_low": 0.03, "difference_high": 0.07,
        "difference_seeds": 1,
    }  # fmt: skip
    rows = [cell("none", 0.9), cell("pgd", 0.8), cell("worst_case", 0.75)]
    text = results_cost.equal_cost_sentence(
        {"seeds": [0], "rows": rows, "best_minus_it": difference}
    )
    assert "(seed 0) is right on 90.0 [70.0, 90.0] %" in text
    assert "keeps 75.0 [70.0, 90.0] % under PGD" in text
    assert "minus that:\n+5.0 [+3.0, +7.0] points, more." in text

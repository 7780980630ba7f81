"""The page of results: its tables are those of the results files."""

import pathlib

import pytest

from docs.figures import page_tables, results_tables, results_verdict

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
README = (pathlib.Path(__file__).parents[2] / "README.md").read_text("utf-8")

pytestmark = pytest.mark.fast


def row(arm, protocol, attack, norm, accuracy, **more):
    return {
        "arm": arm, "protocol": protocol, "attack": attack, "norm": norm,
        "accuracy": accuracy, "ci_low": accuracy - 0.1, "ci_high": accuracy + 0.1,
        "seeds": 1, "sensitivity": 0.25, "specificity": 0.75, **more,
    }  # fmt: skip


CROSSED = {"seeds": 3, "crossed_low": 0.4, "crossed_high": 0.7}
ROWS = [
    row("wbad", "adaptive", "worst_case", "linf", 0.5),
    row("wbad", "adaptive", "pgd", "linf", 0.6, **CROSSED),
    row("wbad", "clean", "none", None, 0.95),
    row("undefended", "clean", "none", None, 0.9),
]


def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, results_tables.page_tables()) == PAGE
    assert page_tables.filled(README, results_tables.readme_tables()) == README


def test_clean_stands_first_and_the_worst_case_last():
    conditions = results_tables.conditions_of(ROWS)
    assert [c[1] for c in conditions] == ["none", "pgd", "worst_case"]
    lines = results_tables.accuracy_table(ROWS, conditions).splitlines()
    assert lines[0] == "| accuracy in % [95 %] | undefended | WBAD |"
    # An accuracy ends at 100 %; the interval over seeds goes before that over patients.
    assert lines[2] == "| clean | 90.0 [80.0, 100.0] | 95.0 [85.0, 100.0] |"
    assert lines[3] == "| PGD, adaptive | - | 60.0 [40.0, 70.0] |"
    assert lines[4].startswith("| **worst case, adaptive** | - | 50.0")


def test_fewer_seeds_than_the_others_are_told():
    rows = [
        row("wbad", "clean", "none", None, 0.9, **CROSSED),
        row("lesion_map", "clean", "none", None, 0.9),
    ]
    head = results_tables.accuracy_table(rows, [("clean", "none", None)]).split("\n")[0]
    assert head.endswith("| WBAD | best: lesion map (1 of 3 seeds) |")


def test_differences_are_told_with_their_sign():
    each = {
        "arm": "wbad", "reference": "adversarial", "protocol": "adaptive",
        "attack": "worst_case", "norm": "linf", "difference": -0.012,
        "difference_low": -0.03, "difference_high": 0.004, "p_value": 0.25,
        "difference_seeds": 2, "difference_crossed_low": -9.0,
    }  # fmt: skip
    report = {"primary": each, "secondary": [{**each, "p_holm": 0.5}]}
    lines = results_tables.endpoints_table(report).splitlines()
    assert "| WBAD - adversarial |" in lines[2]
    assert lines[2].endswith("| -1.2 [-3.0, +0.4] | 0.2500 |")
    assert lines[3].endswith("| 0.5000 |")


def test_the_verdict_counts_seeds():
    names = ("denoise_frozen", "wbad", "adversarial", "lesion_map")
    rows = [
        row(arm, protocol, "worst_case", "linf", 0.5, patients=1000,
            **({} if arm == "lesion_map" else CROSSED))
        for arm in names
        for protocol in ("graybox", "adaptive")
    ]  # fmt: skip
    each = {"arm": "lesion_map", "difference": 0.1, "difference_seeds": 1,
            "difference_low": 0.05, "difference_high": 0.15}  # fmt: skip
    text = results_verdict.verdict({"rows": rows, "primary": each, "secondary": [each]})
    last = text.strip().splitlines()[-1]
    assert "1,000 patients, 3 training seeds, 1 of the network" in last
    assert "+10.0 [+5.0, +15.0] points, more" in text


def test_the_verdict_has_more_patients_where_they_were_measured():
    names = ("denoise_frozen", "wbad", "adversarial", "lesion_map")
    rows = [
        row(arm, protocol, "worst_case", "linf", 0.5, patients=1000, epsilon=0.01)
        for arm in names
        for protocol in ("graybox", "adaptive")
    ]
    each = {"arm": "wbad", "difference": 0.1, "difference_seeds": 1,
            "difference_low": 0.05, "difference_high": 0.15}  # fmt: skip
    report = {"rows": rows, "primary": each, "secondary": []}
    assert "twice as wide" not in results_verdict.verdict(report)
    worst = [
        row("large", "adaptive", "worst_case", "linf", accuracy, epsilon=epsilon)
        for epsilon, accuracy in ((0.005, 0.9), (0.01, 0.75))
    ]
    ahead = [
        {**each, "epsilon": 0.01, "reference": name, "difference": difference}
        for name, difference in (("adversarial", 0.08), ("lesion_map", 0.03))
    ]
    radii = {"rows": worst, "large_minus": ahead}
    text = results_verdict.verdict({**report, "radii": radii})
    assert "75.0 % adaptive; minus adversarial training: +8.0 [+5.0, +15.0]" in text
    assert "+3.0" not in text


def test_the_verdict_says_which_side_is_ahead():
    def of(low, high):
        ends = {"difference_low": low, "difference_high": high}
        return {"difference": 0.01, "difference_seeds": 1, **ends}

    assert results_verdict.told(of(0.001, 0.02)).endswith("points, more")
    assert results_verdict.told(of(-0.03, -0.01)).endswith("points, less")
    assert results_verdict.told(of(-0.01, 0.02)).endswith("no difference shown")

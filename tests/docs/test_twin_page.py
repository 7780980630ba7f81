"""The page on the twin runs, shows what exists, and quotes what was measured."""

import json
import pathlib
import re

import pytest

from docs.figures.twin_learning import CURVES, find_row
from docs.figures.twin_real_statistics import REAL_QUARTILES
from wbad_jax.data.simulated import SEEDS_PER_COHORT, SimulatedThermograms

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "twin.md").read_text(encoding="utf-8")
MEASURED = json.loads((DOCS / "images" / "twin.json").read_text(encoding="utf-8"))


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title):
    """Cells of the tables of a section."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines]


def cell(quartiles, inside=True):
    low, median, high = (f"{value:.3f}" for value in quartiles)
    return f"{median if inside else f'**{median}**'} ({low} to {high})"


def test_the_code_runs():
    names = {}
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "example of twin.md", "exec"), names)
    example = MEASURED["example"]
    assert float(names["value"]) == pytest.approx(example["peak_celsius"], rel=0.01)
    slope = example["slope_celsius_per_mm"]
    assert float(names["slope"]) == pytest.approx(slope, rel=0.02)
    assert slope == pytest.approx(example["difference_quotient"], rel=0.02)


@pytest.mark.fast
def test_the_calibration_is_what_was_measured():
    quoted = {row[0]: row[1:] for row in rows("Calibration")[2:]}
    statistics = MEASURED["calibration"]["statistics"]
    assert list(quoted) == list(statistics) == list(REAL_QUARTILES)
    for name, row in statistics.items():
        assert tuple(row["real"]) == REAL_QUARTILES[name], name
        expected = [cell(row["real"])]
        for law in ("default", "paper"):
            inside = row["real"][0] <= row[law][1] <= row["real"][2]
            expected.append(cell(row[law], inside))
        assert quoted[name] == expected, name


@pytest.mark.fast
def test_the_accuracy_is_what_was_measured():
    table = rows("Accuracy")
    accuracy = MEASURED["accuracy"]
    keys = ("rms_celsius", "mean_absolute_celsius", "percentile_99_celsius")
    for row, name in zip(
        table[2:5], ("healthy", "excess", "excess_near_tumour"), strict=True
    ):
        assert row[1:] == [f"{accuracy['all'][name][key]:.3f}" for key in keys], name
    for row, patient in zip(table[7:], accuracy["patients"], strict=True):
        peaks = [f"{peak:.2f}" for peak in patient["peak_excess_celsius"]]
        assert row[1:] == [f"{patient['healthy']['rms_celsius']:.3f}", *peaks]


@pytest.mark.fast
def test_the_text_quotes_what_was_measured():
    text = " ".join(PAGE.split())
    peaks = MEASURED["patients"]["peak_excess_celsius"]
    first, *_, last = MEASURED["cold_stress"]["frames"]
    example = MEASURED["example"]
    for phrase in (
        f"by {peaks['least']:.1f} to {peaks['largest']:.1f} °C at the most",
        f"half of them by more than {peaks['median']:.1f} °C",
        f"from {first['body_mean_celsius']:.1f} to {last['body_mean_celsius']:.1f} °C",
        f"{first['peak_excess_celsius']:.2f} to {last['peak_excess_celsius']:.2f} °C",
        f"warms the skin by {example['peak_celsius']:.3f} °C",
        f"by {-example['slope_celsius_per_mm']:.4f} °C less",
    ):
        assert phrase in text, phrase


@pytest.mark.fast
def test_the_cohorts_are_those_of_the_data_set():
    quoted = {row[0]: row[1:6] for row in rows("Cohorts")[2:]}
    assert list(quoted) == [each.name for each in SimulatedThermograms.BUILDER_CONFIGS]
    for config in SimulatedThermograms.BUILDER_CONFIGS:
        cohort, tumours = config.cohort, config.cohort.tumours
        low, high = tumours.contrast_celsius
        assert quoted[config.name] == [
            f"{config.num_patients:,}",
            f"{cohort.shape[0]} x {cohort.shape[1]}",
            tumours.prior,
            "any" if tumours.prior == "weak" else f"{low:g} to {high:g}",
            f"{config.first_seed:,}",
        ]


@pytest.mark.fast
def test_no_figure_shows_a_patient_of_a_cohort():
    laws = MEASURED["calibration"]["laws"].values()
    seeds = [law["first_seed"] for law in laws]
    seeds += [MEASURED["patients"]["first_seed"], MEASURED["cold_stress"]["seed"]]
    cohorts = SimulatedThermograms.BUILDER_CONFIGS
    used = {config.first_seed // SEEDS_PER_COHORT for config in cohorts}
    assert not used & {seed // SEEDS_PER_COHORT for seed in seeds}


@pytest.mark.fast
def test_the_images_exist_and_are_small():
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert len(linked) == 4
    assert sum((DOCS / image).stat().st_size for image in linked) < 1_500_000


@pytest.mark.fast
def test_the_learning_curve_is_what_was_measured():
    sizes = results("learning_curve")["sizes"]
    curves = [curve[:2] for curve in CURVES]
    expected = [
        [
            f"{int(size):,}",
            *(percent(find_row(measured, *curve)) for curve in curves),
        ]
        for size, measured in sizes.items()
    ]
    assert rows("How hard it is")[2 : 2 + len(sizes)] == expected


@pytest.mark.fast
def test_the_audit_is_what_was_measured():
    quoted = [row[-1] for row in rows("How hard it is") if "." in row[-1]]
    quoted = quoted[len(results("learning_curve")["sizes"]) :]
    measured = results("audit_paper")["rows"].values()
    assert quoted == [
        "{:.3f} [{:.3f}, {:.3f}]".format(row["auc"], *row["auc_interval"])
        for row in measured
    ]


def results(name):
    path = DOCS.parent / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def percent(row):
    values = (100 * row[key] for key in ("accuracy", "ci_low", "ci_high"))
    return "{:.1f} [{:.1f}, {:.1f}]".format(*values)

"""The page on ceilings quotes what was measured."""

import itertools
import json
import pathlib
import re
import statistics

import pytest

from wbad_jax.data.simulated import SEEDS_PER_COHORT, SimulatedThermograms

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "ceiling.md").read_text(encoding="utf-8")
MEASURED = json.loads((DOCS / "images" / "ceiling.json").read_text(encoding="utf-8"))
BRACKETS = MEASURED["brackets"]
ROWS = BRACKETS["paper"]["rows"]
TEXT = " ".join(PAGE.split())


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(title):
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in rows if re.match(r"[\d.]+(/255| mm)$", row[0])]


def span(part, digits=3):
    low, high = part["ci_low"], part["ci_high"]
    return f"({low:.{digits}f} to {high:.{digits}f})"


@pytest.mark.fast
@pytest.mark.parametrize("cohort", ["paper", "large"])
def test_the_bracket_is_what_was_measured(cohort):
    quoted = table(f"The bracket of `{cohort}`")
    rows = BRACKETS[cohort]["rows"]
    assert len(quoted) == len(rows)
    for cells, row in zip(quoted, rows, strict=True):
        informed, scanning = row["informed"], row["scanning"]
        expected = [
            f"{row['epsilon_255']:g}/255",
            f"{row['epsilon_celsius']:.3f}",
            f"{row['pair_bound']['accuracy']:.3f}",
            f"{informed['ceiling']:.4f} {span(informed, 4)}",
            f"{scanning['accuracy']:.3f} {span(scanning)}",
        ]
        for name in ("specificity", "sensitivity"):
            part = scanning[name]
            expected.append(f"{part['value']:.3f} {span(part)}")
        assert cells == expected


@pytest.mark.fast
def test_the_radii_are_those_asked_for():
    for bracket, norm in itertools.product(BRACKETS.values(), ("linf", "l2")):
        rows = [row for row in bracket["rows"] if row["norm"] == norm]
        radii = [row["epsilon_255"] for row in rows]
        assert radii[:6] == [0.25, 0.5, 1, 2, 4, 8]


@pytest.mark.fast
def test_nothing_is_above_a_bound():
    for row in itertools.chain(*(bracket["rows"] for bracket in BRACKETS.values())):
        informed, scanning = row["informed"], row["scanning"]
        assert informed["reached"] <= informed["ceiling"]
        assert informed["largest_gap"] <= 1e-4
        assert scanning["ci_low"] <= informed["ceiling"]
        assert scanning["accuracy"] <= row["pair_bound"]["accuracy"]


@pytest.mark.fast
def test_the_map_is_what_was_measured():
    measured = MEASURED["map"]
    for cells in table("Robust detectability map"):
        diameter = float(cells[0].removesuffix(" mm"))
        rows = [row for row in measured["rows"] if row["diameter_mm"] == diameter]
        assert len(rows) == len(cells) - 1 == len(measured["radii_255"])
        for cell, row in zip(cells[1:], rows, strict=True):
            cover = statistics.median(row["cover_mm"])
            peak = statistics.median(row["peak_celsius"])
            sign = ">" if any(row["beyond"]) else ""
            assert cell == f"{sign}{cover:.0f} mm, {peak:.2f} °C"


@pytest.mark.fast
def test_the_text_of_the_ceilings_quotes_what_was_measured():
    bracket, templates = BRACKETS["paper"], MEASURED["templates"]
    (large,) = [
        row for row in ROWS if (row["norm"], row["epsilon_255"]) == ("linf", 32)
    ]
    met = large["pair_bound"]
    least, middle, most = bracket["lesion_peak_celsius"]
    rows = {row["epsilon_255"]: row for row in templates["rows"]}
    for phrase in (
        f"{bracket['test_patients']} test patients",
        f"{bracket['train_patients']} for training",
        f"{least:.2f} to {most:.2f} °C in the images, {middle:.2f} °C",
        f"radii {bracket['l2_ratio']:.2f} times those of Linf",
        f"a peak of {templates['peak_celsius']:.2f} °C",
        f"{rows[1.0]['white_pixels']} pixels are used at 1/255",
        f"{rows[8.0]['coloured_pixels']} at 8/255. The field",
        f"{met['conflicts']} of {large['n']} twins meet",
        f"a matching of {met['matching']} pairs",
        f"alpha is {rows[0.0]['coloured_alpha']:.1f}",
        f"{MEASURED['map']['heat_watts_per_m3']:,.0f} W/m³",
        f"of which {BRACKETS['large']['test_patients']} are test patients",
        f"{BRACKETS['large']['train_patients']} train the scanning observer",
        f"the first {BRACKETS['large']['informed_patients']} test patients",
        f"radii {BRACKETS['large']['l2_ratio']:.2f} times those of Linf",
    ):
        assert phrase in TEXT, phrase


@pytest.mark.fast
def test_no_figure_of_the_ceilings_shows_a_patient_of_a_cohort():
    cohorts = SimulatedThermograms.BUILDER_CONFIGS
    used = {config.first_seed // SEEDS_PER_COHORT for config in cohorts}
    seeds = [*MEASURED["map"]["seeds"], MEASURED["templates"]["seed"]]
    assert not used & {seed // SEEDS_PER_COHORT for seed in seeds}


@pytest.mark.fast
def test_the_images_of_the_ceilings_exist_and_are_small():
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert len(linked) == 3
    assert sum((DOCS / image).stat().st_size for image in linked) < 500_000

"""The page on the inverse quotes what was measured."""

import json
import pathlib

import pytest

from docs.figures.inverse import ESTIMATED, FIRST_SEED, PAIRS
from wbad_jax.bioheat.unknowns import HEALTHY_NAMES, TUMOUR_NAMES
from wbad_jax.data.simulated import SEEDS_PER_COHORT, SimulatedThermograms

pytestmark = pytest.mark.fast
DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "inverse.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
MEASURED = json.loads((DOCS / "images" / "inverse.json").read_text(encoding="utf-8"))


def rows(title):
    """Cells of the table of a section, without its head."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines][2:]


def recovery_row(found, digits):
    middle, low, high = found["median_absolute_error"]
    keys = ("rms_error", "mean_error", "median_stated_sd", "spread_of_truth")
    return [
        f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})",
        *[f"{found[key]:.{digits}f}" for key in keys],
        f"{100 * found['coverage_68']:.0f}",
        f"{100 * found['coverage_95']:.0f}",
    ]


@pytest.mark.parametrize("group", ["without", "with"])
def test_errors_and_coverage_are_what_was_measured(group):
    title = f"Tumours {group} vessels of their own"
    quoted = {row[0]: row[2:] for row in rows(title)}
    measured = MEASURED["known"]["summary"]["errors"][f"{group}_own_vessels"]
    assert list(quoted) == list(ESTIMATED)
    for name, cells in quoted.items():
        digits = 2 if name.startswith("log") else 1
        assert cells == recovery_row(measured[name], digits), name
    assert f"{measured['patients']} patients" in TEXT
    place = measured["place"]["median_error_mm"][0]
    assert f"less than {place:.1f} mm from the true place" in TEXT


def test_correlations_are_what_was_measured():
    quoted = {row[0]: row[1] for row in rows("What cannot be told apart")}
    measured = MEASURED["known"]["summary"]["correlation"]
    assert quoted == {
        " and ".join(pair): f"{measured[' '.join(pair)]:.2f}" for pair in PAIRS
    }


def test_the_detector_is_what_was_measured():
    detector = MEASURED["detector"]
    attacks = {"plain": detector["plain"], "knowing": detector["knowing_best"]}
    for row in rows("Physics consistency"):
        found = attacks[row[0].split()[0]]
        middle, low, high = found["auc"]
        assert row[1:] == [
            str(found["fooled"]),
            f"{found['median_score']:.3f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
        ]


def test_the_text_quotes_what_was_measured():
    known = MEASURED["known"]["summary"]
    fits, twins = known["tumour_image"], known["healthy_image"]
    bare = MEASURED["no_vessels"]["summary"]
    depth = bare["errors"]["all"]["depth"]
    for phrase in (
        f"{known['patients']} simulated patients",
        f"{100 * fits['converged']:.0f} % of the fits converged",
        f"in {100 * fits['favours_tumour']:.0f} % of the pictures with a tumour",
        f"in {100 * twins['favours_tumour']:.0f} % of {twins['images']} pictures of",
        f"on {bare['patients']} of the patients",
        f"off by {depth['median_absolute_error'][0]:.1f} mm in the median",
        f"{100 * depth['coverage_95']:.0f} % of the depths",
        f"{MEASURED['detector']['patients']} patients of the test part",
        f"{MEASURED['detector']['clean_median_score']:.3f} in clean pictures",
    ):
        assert phrase in TEXT, phrase


def test_all_unknowns_are_named():
    for name in (*HEALTHY_NAMES, *TUMOUR_NAMES):
        assert f"`{name}`" in PAGE, name


def test_no_patient_is_of_a_cohort():
    used = {
        c.first_seed // SEEDS_PER_COHORT for c in SimulatedThermograms.BUILDER_CONFIGS
    }
    assert FIRST_SEED // SEEDS_PER_COHORT not in used


def test_it_says_what_it_is_not():
    assert "research software only, not a diagnostic device" in TEXT


FRONTAL = json.loads(
    (DOCS / "images" / "inverse_frontal.json").read_text(encoding="utf-8")
)


def fit_cells(found):
    def quartiles(name, digits):
        low, middle, high = found[name]
        return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    return [
        str(found["fitted"]),
        quartiles("picture_sd_celsius", 2),
        quartiles("residual_rms_celsius", 2),
        quartiles("inner_residual_rms_celsius", 2),
        quartiles("reduced_chi_square", 1),
        f"{100 * found['converged']:.0f}",
    ]


def test_residuals_of_frontal_pictures_are_what_was_measured():
    quoted = {row[0]: row[1:] for row in rows("Real frontal thermograms")}
    simulated = FRONTAL["simulated"]
    measured = {
        "real, fitted template": FRONTAL["real"],
        "simulated, fitted template": simulated["fitted_template"],
        "simulated, own shape, no vessels": simulated["own_shape_no_vessels"],
        "simulated, own shape and vessels": simulated["own_template"],
    }
    assert quoted == {name: fit_cells(found) for name, found in measured.items()}


def test_the_text_on_frontal_pictures_quotes_what_was_measured():
    real, simulated = FRONTAL["real"], FRONTAL["simulated"]
    for phrase in (
        f"Measured on {real['images']} of 162 frontal matrices",
        f"healthy pictures of {simulated['images']} simulated patients",
        f"fitted in {100 * real['template_fits']:.0f} % of the real pictures",
        f"and {100 * simulated['template_fits']:.0f} % of the simulated ones",
        f"agreement was {100 * real['agreement'][1]:.1f} % in the real ones",
        "No tumour is looked for",
    ):
        assert phrase in TEXT, phrase


def test_claims_on_frontal_pictures_hold_of_what_was_measured():
    real, simulated = FRONTAL["real"], FRONTAL["simulated"]
    middle = [
        simulated[name]["residual_rms_celsius"][1]
        for name in ("own_template", "own_shape_no_vessels", "fitted_template")
    ]
    assert middle == sorted(middle)
    # Missing vessels nearly double the residual, a foreign shape adds little.
    assert 1.6 < middle[1] / middle[0] < 2
    assert middle[2] / middle[1] < 1.15
    assert real["residual_rms_celsius"][1] > middle[-1]
    assert real["converged"] < 0.5
    chi_square = simulated["own_template"]["reduced_chi_square"][1]
    assert f"the chi-square is {chi_square:.1f}, not 1" in TEXT
    spread = real["picture_sd_celsius"][1]
    assert real["residual_rms_celsius"][1] == pytest.approx(spread, rel=0.15)


def test_nothing_of_a_single_real_picture_is_recorded():
    real = FRONTAL["real"]
    assert real["images"] >= 30
    for name, value in real.items():
        assert len(value) == 3 if isinstance(value, list) else value >= 0, name

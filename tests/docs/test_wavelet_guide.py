"""The wavelet guide runs, names what exists, and quotes what was measured."""

import json
import pathlib
import re

import pytest

from wbad_jax import denoise, wavelets

DOCS = pathlib.Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "wavelets.md").read_text(encoding="utf-8")
PACKAGES = {"wavelets": wavelets, "denoise": denoise}
ABROAD = {
    *("dwt", "idwt", "dwt2", "idwt2", "wavedec", "waverec", "wavedec2", "waverec2"),
    *("swt", "iswt", "swt2", "iswt2", "dwt_max_level", "swt_max_level"),
    *("coeffs_to_array", "array_to_coeffs", "threshold", "threshold_firm"),
    *("wavelist", "Wavelet", "Modes"),
    *("denoise_wavelet", "estimate_sigma", "cycle_spin"),
}
MIGRATION = "Coming from PyWavelets, scikit-image or jaxwt"


def section(title):
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title):
    """Cells of the tables of a section."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines]


def measured():
    return json.loads((DOCS / "images" / "wavelets.json").read_text(encoding="utf-8"))


def test_the_code_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    namespace = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"block {number} of wavelets.md", "exec"), namespace)


@pytest.mark.fast
def test_the_functions_named_exist():
    named = set(re.findall(r"`(wavelets|denoise)\.(\w+)", GUIDE))
    assert len(named) > 30
    for package, name in named:
        assert name in PACKAGES[package].__all__, f"{package}.{name}"


@pytest.mark.fast
def test_the_table_covers_the_other_libraries():
    there = " ".join(row[0] for row in rows(MIGRATION))
    assert set(re.findall(r"\w+", there)) >= ABROAD


@pytest.mark.fast
def test_all_modes_and_rules_are_described():
    modes = [row[0] for row in rows("Boundary modes")[2:]]
    assert sorted(modes) == sorted(wavelets.MODES)
    rules = [row[0] for row in rows("Threshold rules")[2:]]
    assert set(denoise.RULES) <= set(rules)


@pytest.mark.fast
def test_the_images_exist():
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", GUIDE)
    assert len(linked) == 6
    for image in linked:
        assert (DOCS / image).stat().st_size < 150_000, image


@pytest.mark.fast
def test_the_tables_quote_what_was_measured():
    record = measured()
    for mode, _, error, _ in rows("Boundary modes")[2:]:
        assert error == f"{record['boundary_modes'][mode]:.3f}", mode
    quoted = {row[0]: row[3:] for row in rows("Threshold rules")[2:]}
    assert set(quoted) == set(record["rules"]["scores"])
    for rule, score in record["rules"]["scores"].items():
        psnr, *errors = quoted[rule]
        assert psnr == f"{score['psnr_mean']:.1f}", rule
        keys = ("rms_error_celsius", "rms_error_body_celsius")
        assert errors == [f"{score[key]:.3f}" for key in keys], rule


@pytest.mark.fast
def test_the_text_quotes_what_was_measured():
    record = measured()
    noise, passing = record["noise_estimates"], record["passing"]
    backward, sure = record["backward"], record["sure"]["derivative_at_quarter_sigma"]
    modes = [backward[mode] for mode in denoise.BACKWARD_MODES]
    quotes = {
        "The noise level": [
            f"{noise['mean_noisy_celsius']:.3f} °C on the noisy",
            f"{noise['mean_clean_celsius']:.3f} °C on the clean",
            f"{passing['sigma_celsius']['finest diagonal']:.3f} °C",
            f"{passing['finest diagonal']['norm_after']:.1f} °C",
            f"{passing['finest diagonal']['norm_after_with_sigma_given']:.1f} are left",
        ],
        "Threshold rules": [
            f"{sure['textbook']:+.4f} °C²",
            f"{sure['true']:.4f} and `sure_risk` {sure['estimated']:.4f}",
        ],
        "Backward modes": [
            f"{backward['dead_share_of_details']:.0%}".replace("%", " %"),
            "{:.1f} (exact), {:.1f} (identity) and {:.1f} (smooth)".format(
                *(mode["distance_after_attack"] for mode in modes)
            ),
        ],
        "Half precision": [
            f"{record['precision'][name]['reconstruction_celsius']:.3f} °C in {name}"
            for name in ("float16", "bfloat16")
        ],
        "What it cannot do": [
            f"{passing[part]['norm_before']:.2f} before, "
            f"{passing[part]['norm_after']:.2f} after"
            for part in ("approximation band", "details", "finest diagonal")
        ],
    }
    for title, phrases in quotes.items():
        text = " ".join(section(title).split())
        for phrase in phrases:
            assert phrase in text, phrase

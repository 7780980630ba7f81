import pytest

from wbad_jax.bioheat import tissue


def test_decay_length_of_gland_is_15_mm():
    assert tissue.decay_rate(tissue.GLAND) == pytest.approx(67.05, abs=0.01)


@pytest.mark.parametrize(
    ("diameter", "heat"),
    [(0.010, 65400), (0.012, 24147), (0.015, 13627), (0.020, 8726), (0.030, 5791)],
)
def test_gautherie_heat(diameter, heat):
    assert tissue.gautherie_heat(diameter) == pytest.approx(heat, abs=1)


def test_gautherie_heat_is_capped_below_one_centimetre():
    assert tissue.gautherie_heat(0.005) == tissue.gautherie_heat(0.01)


@pytest.mark.parametrize("diameter", [0.0, -1.0, float("nan")])
def test_gautherie_heat_rejects(diameter):
    with pytest.raises(ValueError, match="diameter > 0"):
        tissue.gautherie_heat(diameter)


@pytest.mark.parametrize("kind", [tissue.SKIN, tissue.FAT, tissue.GLAND, tissue.TUMOUR])
def test_published_tissues_pass(kind):
    tissue.check_tissue(kind, "published")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("conductivity", 0.0, "> 0"),
        ("conductivity", -0.2, "> 0"),
        ("perfusion", -1e-6, ">= 0"),
        ("metabolic_heat", -1.0, ">= 0"),
        ("density", 0.0, "> 0"),
        ("specific_heat", 0.0, "> 0"),
        ("perfusion", float("nan"), ">= 0"),
        ("conductivity", float("nan"), "> 0"),
    ],
)
def test_check_tissue_names_tissue_property_rule_and_value(field, value, rule):
    kind = tissue.GLAND._replace(**{field: value})
    with pytest.raises(ValueError, match=rf"gland needs {field} {rule}, got {value}\."):
        tissue.check_tissue(kind, "gland")


def test_no_blood_and_no_heat_are_allowed():
    tissue.check_tissue(tissue.FAT._replace(perfusion=0.0, metabolic_heat=0.0), "fat")

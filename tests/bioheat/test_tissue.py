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


def test_tissue_rejects_no_perfusion():
    with pytest.raises(ValueError, match="perfusion > 0, got 0"):
        tissue.Tissue(conductivity=0.5, perfusion=0.0, metabolic_heat=0.0)

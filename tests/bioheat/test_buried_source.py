import numpy as np
import pytest
from scipy import integrate, special

from wbad_jax.bioheat import buried_source, tissue

SPHERE = {"depth": 0.02, "radius": 0.005, "excess_heat": 1e4}


def test_matches_published_precision_values():
    """Values of the closed form, agreeing with a finite-volume solution to 0.2 %."""
    contrast = buried_source.sphere_contrast([0.0, 0.01, 0.02], **SPHERE)
    np.testing.assert_allclose(contrast, [0.019150, 0.014373, 0.007337], atol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 0.013, 0.05])
def test_matches_adaptive_quadrature(distance):
    m = tissue.decay_rate(tissue.GLAND)
    k, h = tissue.GLAND.conductivity, tissue.SKIN_HEAT_TRANSFER

    def integrand(x):
        mu = np.hypot(x, m)
        return x * special.j0(x * distance) * np.exp(-mu * 0.02) / (mu + h / k)

    integral, _ = integrate.quad(integrand, 0, 2000, limit=400, epsabs=1e-12)
    x = m * 0.005
    power = 1e4 * 4 * np.pi * (x * np.cosh(x) - np.sinh(x)) / m**3
    expected = power / (2 * np.pi * k) * integral
    actual = buried_source.sphere_contrast(distance, **SPHERE)
    np.testing.assert_allclose(actual, expected, rtol=1e-8)


def test_an_insulated_skin_doubles_the_free_space_field():
    """Method of images: without heat loss the half-space is half of a whole space."""
    m, k = tissue.decay_rate(tissue.GLAND), tissue.GLAND.conductivity
    distance = np.array([0.0, 0.01, 0.03])
    r = np.hypot(distance, 0.02)
    x = m * 0.005
    power = 1e4 * 4 * np.pi * (x * np.cosh(x) - np.sinh(x)) / m**3
    expected = 2 * power * np.exp(-m * r) / (4 * np.pi * k * r)
    actual = buried_source.sphere_contrast(distance, **SPHERE, heat_transfer=0.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-8)


def test_gautherie_contrasts_of_the_literature_range():
    """Depths 10, 15, 20 mm for 10 mm; 15, 20 mm for 20 mm, to the digits quoted."""
    for diameter, depth, expected in [
        (0.01, 0.010, 0.502),
        (0.01, 0.015, 0.234),
        (0.01, 0.020, 0.124),
        (0.02, 0.015, 0.241),
        (0.02, 0.020, 0.127),
    ]:
        contrast = buried_source.sphere_contrast(
            0.0,
            depth=depth,
            radius=diameter / 2,
            excess_heat=tissue.gautherie_heat(diameter) - 700,
        )
        np.testing.assert_allclose(contrast, expected, atol=6e-4)


@pytest.mark.parametrize("radius", [0.0, 0.021, float("nan")])
def test_rejects_a_sphere_through_the_skin(radius):
    with pytest.raises(ValueError, match="0 < radius <= depth"):
        buried_source.sphere_contrast(0.0, depth=0.02, radius=radius, excess_heat=1.0)


def test_rejects_a_distance_out_of_range():
    with pytest.raises(ValueError, match="12 depths"):
        buried_source.sphere_contrast(0.25, **SPHERE)

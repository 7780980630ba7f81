"""Thermal constants of breast tissue and tumours, in SI units.

Values are those of the four-layer breast of Figueiredo et al. (2020), Int. Commun. Heat
Mass Transfer, doi 10.1016/j.icheatmasstransfer.2019.104453, unless a line says
otherwise. Perfusion is a rate in 1/s (some papers print it multiplied by the density of
blood).
"""

import math
from typing import NamedTuple

from jaxtyping import Array

# As drawn, or to differentiate by.
Scalar = float | Array

BLOOD_DENSITY = 1060.0  # kg/m3, customary in Pennes models
BLOOD_SPECIFIC_HEAT = 3770.0  # J/kg/K, customary in Pennes models
ARTERIAL_CELSIUS = 37.0

# Natural convection 4-5 plus linearised radiation 5.5-6 (emissivity 0.98), W/m2/K.
SKIN_HEAT_TRANSFER = 10.0

# Range of metabolic heat of a cancer recalibrated on a patient by infrared, 3-D scan
# and magnetic resonance, W/m3: Lozano et al. (2020), Scientific Reports,
# doi 10.1038/s41598-020-66926-6. Ten to a hundred times the relation of Gautherie.
LOZANO_TUMOUR_HEAT = (1e5, 1.2e6)


class Tissue(NamedTuple):
    """A homogeneous perfused tissue.

    Attributes:
        conductivity: W/m/K.
        perfusion: Blood flow per tissue volume, 1/s.
        metabolic_heat: W/m3.
        density: kg/m3.
        specific_heat: J/kg/K.

    Examples:
        >>> from wbad_jax.bioheat import Tissue
        >>> Tissue(conductivity=0.48, perfusion=5e-4, metabolic_heat=700.0).density
        1050.0
    """

    conductivity: Scalar
    perfusion: Scalar
    metabolic_heat: Scalar
    density: Scalar = 1050.0
    specific_heat: Scalar = 3770.0


MUSCLE = Tissue(0.48, 0.0027, 700.0, 1085.0, 3800.0)
GLAND = Tissue(0.48, 0.00054, 700.0, 1050.0, 3770.0)
FAT = Tissue(0.21, 0.00022, 400.0, 930.0, 2770.0)
SKIN = Tissue(0.45, 0.00018, 368.1, 1085.0, 3680.0)
# Perfusion is also that of Camilleri et al. (2022), Sensors 22:3894, within a third.
TUMOUR = Tissue(0.48, 0.0063, 700.0, 1050.0, 3852.0)


def check_tissue(tissue: Tissue, name: str) -> None:
    """Refuses properties that no tissue has.

    Args:
        tissue: Concrete numbers.
        name: Of the tissue, for the error.

    Raises:
        ValueError: If conductivity, density or specific heat is not positive, or
            perfusion or heat negative.
    """
    for field, value in tissue._asdict().items():
        positive = field in ("conductivity", "density", "specific_heat")
        rule = "> 0" if positive else ">= 0"
        if not (value > 0 if positive else value >= 0):
            raise ValueError(f"{name} needs {field} {rule}, got {value}.")


# The relation below diverges at 0.9 cm; tumours smaller than this take its value here.
_GAUTHERIE_SMALLEST_DIAMETER = 0.01


def decay_rate(tissue: Tissue) -> float:
    """Returns m = sqrt(w rho_b c_b / k) in 1/m: a disturbance decays as exp(-m x).

    In gland 1 / m is 14.9 mm.

    Reference:
        Pennes (1948), J. Appl. Physiol. 1:93, equation of the resting forearm.
    """
    blood = tissue.perfusion * BLOOD_DENSITY * BLOOD_SPECIFIC_HEAT
    return math.sqrt(blood / tissue.conductivity)


def gautherie_heat(diameter: float) -> float:
    """Metabolic heat of a tumour as a function of its size.

    Args:
        diameter: Metres. Below 1 cm the value at 1 cm is returned, since the relation
            diverges at 0.9 cm.

    Returns:
        W/m3; 65,400 at 1 cm and 8,726 at 2 cm.

    Raises:
        ValueError: If the diameter is not positive.

    Reference:
        Gautherie (1980), Ann. N. Y. Acad. Sci. 335:383, heat against doubling time, in
        the closed form used by later breast models.

    Examples:
        >>> from wbad_jax.bioheat import gautherie_heat
        >>> gautherie_heat(0.01) > gautherie_heat(0.03)
        True
    """
    if not diameter > 0:
        raise ValueError(f"gautherie_heat needs diameter > 0, got {diameter}.")
    diameter = max(diameter, _GAUTHERIE_SMALLEST_DIAMETER)
    return 3.27e6 / (468.5 * math.log(100 * diameter) + 50)

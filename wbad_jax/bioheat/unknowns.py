"""What is estimated about a patient from her thermogram, as a vector with a prior.

Known are the shape of the body, its muscle and the fat of the trunk, and the vessels,
as from another modality. Unknown are the fat of the breasts, blood flow of the tissues,
the cooling of the skin and the core temperature; and of a tumour everything but its
conductivity and density. Positive numbers are estimated as logarithms.
"""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.bioheat import tissue
from wbad_jax.bioheat.anatomy import HealthySettings, draw_twin
from wbad_jax.bioheat.body_shape import Breast
from wbad_jax.bioheat.patient import Skin, Tissues, Tumour, Twin
from wbad_jax.bioheat.tumours import TumourSettings, draw_strength, draw_tumour

# In the order of their vector. Lengths in mm, temperatures in degrees Celsius; flows
# relative to those of `tissue`.
HEALTHY_NAMES = (
    "log_fat_left",
    "log_fat_right",
    "log_flow_skin",
    "log_flow_fat",
    "log_flow_gland",
    "log_flow_muscle",
    "log_heat_transfer",
    "core",
    "fold",
    "armpit",
    "flank",
    "nipple_left",
    "nipple_right",
)
# The cover is the tissue between skin and tumour: depth less half the diameter.
TUMOUR_NAMES = ("column", "row", "log_cover", "log_diameter", "log_heat", "log_flow")
_KINDS = Tissues(tissue.SKIN, tissue.FAT, tissue.GLAND, tissue.MUSCLE)
_CONDUCTIVITY = 0.55  # W/m/K, middle of the range that tumours are drawn from
_DRAWS = 400
_NO_VESSELS = np.zeros((1, 4), np.float32)
Values = Float[Array | np.ndarray, " unknowns"]


class Gaussian(NamedTuple):
    """A normal law of a vector of unknowns.

    Attributes:
        mean: `[unknowns]`.
        covariance: `[unknowns, unknowns]`.
    """

    mean: np.ndarray
    covariance: np.ndarray


def healthy_values(twin: Twin) -> np.ndarray:
    """The unknowns of a patient without tumour, in the order of `HEALTHY_NAMES`."""
    fats = [math.log(float(breast.fat)) for breast in twin.body.breasts]
    flows = [
        math.log(float(own.perfusion) / float(kind.perfusion))
        for own, kind in zip(twin.tissues, _KINDS, strict=True)
    ]
    skin = twin.skin
    cooling = [math.log(float(skin.heat_transfer)), float(twin.core)]
    places = map(float, (skin.fold, skin.armpit, skin.flank, *skin.nipples))
    return np.array([*fats, *flows, *cooling, *places])


def with_healthy_values(template: Twin, values: Values) -> Twin:
    """The template with its unknowns replaced; differentiable.

    Args:
        template: Body, vessels and room are kept.
        values: `[13]`, see `HEALTHY_NAMES`.

    Returns:
        A patient. Metabolic heat of her tissues is that of `tissue`.
    """
    body = template.body
    left = body.left._replace(fat=jnp.exp(values[0]))
    right = body.right._replace(fat=jnp.exp(values[1]))
    kinds = [
        kind._replace(perfusion=kind.perfusion * jnp.exp(values[2 + index]))
        for index, kind in enumerate(_KINDS)
    ]
    skin = Skin(
        heat_transfer=jnp.exp(values[6]),
        fold=values[8],
        armpit=values[9],
        flank=values[10],
        nipples=(values[11], values[12]),
    )
    return template._replace(
        body=body._replace(left=left, right=right),
        tissues=Tissues(*kinds),
        skin=skin,
        core=values[7],
    )


def tumour_values(tumour: Tumour) -> np.ndarray:
    """The unknowns of a tumour, in the order of `TUMOUR_NAMES`."""
    cover = float(tumour.depth) - float(tumour.diameter) / 2
    positive = (
        cover,
        tumour.diameter,
        tumour.tissue.metabolic_heat,
        tumour.tissue.perfusion,
    )
    logarithms = [math.log(float(value)) for value in positive]
    return np.array([float(tumour.column), float(tumour.row), *logarithms])


def tumour_of(values: Values) -> Tumour:
    """The tumour of given unknowns, without vessels of its own; differentiable."""
    diameter = jnp.exp(values[3])
    kind = tissue.TUMOUR._replace(
        conductivity=_CONDUCTIVITY,
        metabolic_heat=jnp.exp(values[4]),
        perfusion=jnp.exp(values[5]),
    )
    return Tumour(
        column=values[0],
        row=values[1],
        depth=jnp.exp(values[2]) + diameter / 2,
        diameter=diameter,
        tissue=kind,
        vessels=jnp.asarray(_NO_VESSELS),
    )


@functools.lru_cache(maxsize=8)
def priors(
    healthy: HealthySettings, tumours: TumourSettings
) -> tuple[Gaussian, Gaussian]:
    """Normal laws with the moments of the laws that patients are drawn from.

    Args:
        healthy: Law of patients.
        tumours: Law of tumours; the half-space estimate of their contrast is part of
            it, the solved contrast is not.

    Returns:
        Of the unknowns of a patient and of her tumour, from 400 drawn patients. Column
        and row of the second are placeholders, see `in_breast`.
    """
    rng = np.random.default_rng(9_500_000)
    rows = []
    while len(rows) < _DRAWS:
        twin = draw_twin(rng, 22.6, healthy)
        try:
            tumour = draw_tumour(rng, twin, draw_strength(rng, tumours), tumours)
        except ValueError:  # no such tumour fits into her breasts
            continue
        rows.append((healthy_values(twin), tumour_values(tumour)))
    laws = []
    for columns in zip(*rows, strict=True):
        sample = np.stack(columns)
        laws.append(Gaussian(sample.mean(axis=0), np.cov(sample.T)))
    return laws[0], laws[1]


def in_breast(law: Gaussian, breast: Breast, margin: float) -> Gaussian:
    """The law of a tumour in one breast: uniform in its inner part, as a normal law.

    Args:
        law: Of `priors`.
        breast: Where the tumour is.
        margin: Share of the outline that tumours lie within.

    Returns:
        The law with column and row replaced, independent of the rest.
    """
    mean, covariance = law.mean.copy(), law.covariance.copy()
    length = float(breast.upper + breast.lower) / 2
    shift = (float(breast.lower) - float(breast.upper)) / 2 * margin / 2
    mean[:2] = float(breast.column), float(breast.row) + shift
    covariance[:2] = covariance[:, :2] = 0.0
    for index, axis in enumerate((float(breast.half_width), length)):
        # A coordinate of a uniform disc of radius R has standard deviation R / 2.
        covariance[index, index] = (margin * axis / 2) ** 2
    return Gaussian(mean, covariance)

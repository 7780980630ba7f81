"""Description of a patient: shape, tissues, vessels, cooling of the skin; a tumour.

Numbers are floats as drawn, or arrays to differentiate by or to batch under `vmap`.
"""

from typing import NamedTuple

from wbad_jax.bioheat.body_shape import Body
from wbad_jax.bioheat.tissue import Scalar, Tissue
from wbad_jax.bioheat.vessels import Points


class Tissues(NamedTuple):
    """The tissues of one person.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> twin.tissues._fields
        ('skin', 'fat', 'gland', 'muscle')
    """

    skin: Tissue
    fat: Tissue
    gland: Tissue
    muscle: Tissue


class Skin(NamedTuple):
    """What makes the skin's cooling differ from place to place.

    Attributes:
        heat_transfer: Of free skin, W/m2/K.
        fold: Share by which the fold under the breasts is shielded, 0 to 1.
        armpit: Likewise of the armpits.
        flank: Degrees by which the tissue under the skin is cooler at the outline,
            where it also loses heat to the sides and the back.
        nipples: Relative change of heat transfer at the left and right nipple.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> 11 < twin.skin.heat_transfer < 20
        True
    """

    heat_transfer: Scalar
    fold: Scalar
    armpit: Scalar
    flank: Scalar
    nipples: tuple[Scalar, Scalar]


class Twin(NamedTuple):
    """A patient without tumour.

    Attributes:
        body: Shape.
        tissues: Thermal properties.
        vessels: Veins and benign warm findings.
        skin: Cooling of the skin.
        air: Room temperature, degrees Celsius.
        core: Temperature of chest wall and arterial blood, degrees Celsius.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, acquisition = draw_healthy(7, CohortSettings())
        >>> twin._fields
        ('body', 'tissues', 'vessels', 'skin', 'air', 'core')
    """

    body: Body
    tissues: Tissues
    vessels: Points
    skin: Skin
    air: Scalar
    core: Scalar


class Tumour(NamedTuple):
    """A tumour and the vessels that come with it.

    Attributes:
        column: Of the skin above its centre, mm from the image centre.
        row: Likewise.
        depth: Of its centre below the skin, mm.
        diameter: mm.
        tissue: Its properties.
        vessels: Further points of heat exchange.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.bioheat import CohortSettings, TumourSettings
        >>> from wbad_jax.bioheat import draw_healthy, draw_tumour
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> rng = np.random.default_rng(0)
        >>> 10 <= draw_tumour(rng, twin, "strong", TumourSettings()).diameter <= 30
        True
    """

    column: Scalar
    row: Scalar
    depth: Scalar
    diameter: Scalar
    tissue: Tissue
    vessels: Points

"""What an outline tells about the shape of a trunk, as a vector with a prior.

Bodies are those of `anatomy.draw_body`, all brought to the same size and place: where a
picture was taken from is not a part of a shape. Whatever an outline does not show,
layers and projection, is that of the average body.
"""

import functools

import jax
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.bioheat import tissue
from wbad_jax.bioheat.anatomy import MAX_POINTS, HealthySettings, draw_body
from wbad_jax.bioheat.body_shape import Body, Breast
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.patient import Skin, Tissues, Twin
from wbad_jax.bioheat.unknowns import Gaussian, priors, with_healthy_values
from wbad_jax.bioheat.vessels import pad_points

# In the order of their vector: the torso's, then those of the left and right breast.
# Millimetres; columns of breasts are outwards from the midline.
TORSO_NAMES = ("chest", "waist")
BREAST_NAMES = ("column", "row", "half_width", "lower")
# Level of the nipples of an average torso on the grid, mm from the image centre.
TORSO_ROW = 38.0
_DRAWS = 400
_ROOM, _CORE = 22.6, 37.0
Shape = Float[Array | np.ndarray, "10"]


def shape_of(body: Body) -> np.ndarray:
    """The vector of a body of scale 1 in the middle of the grid."""
    rows = [float(getattr(body.torso, name)) for name in TORSO_NAMES]
    for breast in body.breasts:
        values = [float(getattr(breast, name)) for name in BREAST_NAMES]
        rows += [values[0] * float(breast.side), *values[1:]]
    return np.array(rows)


def body_of(shape: Shape, average: Body) -> Body:
    """The body of a vector; differentiable.

    Args:
        shape: See `shape_of`.
        average: All else; the upper half of a breast grows with its width.

    Returns:
        The body.
    """
    chest, waist = shape[0], shape[1]
    left, right = (
        _breast_of(shape[2 + 4 * index : 6 + 4 * index], breast)
        for index, breast in enumerate(average.breasts)
    )
    return Body(average.torso._replace(chest=chest, waist=waist), left, right)


def _breast_of(values: Array | np.ndarray, average: Breast) -> Breast:
    distance, row, half_width, lower = (values[index] for index in range(4))
    return average._replace(
        column=average.side * distance,
        row=row,
        half_width=half_width,
        lower=lower,
        upper=average.upper * half_width / average.half_width,
    )


@functools.lru_cache(maxsize=8)
def shape_law(healthy: HealthySettings) -> tuple[Gaussian, Body]:
    """Normal law with the moments of drawn bodies, and their average.

    Args:
        healthy: Law of patients.

    Returns:
        Of the vector, from 400 drawn bodies; and the average, without waves of the fat.
    """
    rng = np.random.default_rng(9_500_001)
    bodies = [_centred(draw_body(rng, healthy)) for _ in range(_DRAWS)]
    sample = np.stack([shape_of(body) for body in bodies])
    average = jax.tree.map(lambda *each: np.mean(each, axis=0), *bodies)
    flat = np.zeros_like(average.torso.fat_waves)
    average = average._replace(torso=average.torso._replace(fat_waves=flat))
    return Gaussian(sample.mean(axis=0), np.cov(sample.T)), average


def _centred(body: Body) -> Body:
    """The same body at scale 1, its midline and nipples where the average's are."""
    torso, scale = body.torso, body.torso.scale

    def centred(breast: Breast) -> Breast:
        lengths = ("half_width", "upper", "lower", "projection")
        return breast._replace(
            column=(breast.column - torso.column) / scale,
            row=(breast.row - torso.row) / scale + TORSO_ROW,
            **{name: getattr(breast, name) / scale for name in lengths},
        )

    middle = torso._replace(
        scale=1.0,
        column=0.0,
        row=TORSO_ROW,
        chest=torso.chest / scale,
        waist=torso.waist / scale,
    )
    return Body(middle, *map(centred, body.breasts))


def average_patient(body: Body, settings: CohortSettings) -> Twin:
    """A template in a given body: an average patient without vessels.

    Args:
        body: Its shape.
        settings: Of the cohort, whose priors say what is average.

    Returns:
        The patient, in a room that calibration replaces.
    """
    kinds = Tissues(tissue.SKIN, tissue.FAT, tissue.GLAND, tissue.MUSCLE)
    bare = Twin(
        body=body,
        tissues=kinds,
        vessels=pad_points([np.zeros((0, 4))], MAX_POINTS),
        skin=Skin(0.0, 0.0, 0.0, 0.0, (0.0, 0.0)),
        air=_ROOM,
        core=_CORE,
    )
    mean = priors(settings.healthy, settings.tumours)[0].mean
    patient = with_healthy_values(bare, mean)
    return jax.tree.map(np.asarray, patient)

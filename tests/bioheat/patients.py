"""A patient of round numbers and her mirror image, for tests of the twin.

Written out, not drawn: the ranges of the draws may change without these tests. Points
are as many as of drawn patients, so that all are compiled once.
"""

import numpy as np

from wbad_jax.bioheat import anatomy, tissue, tumours
from wbad_jax.bioheat.body_shape import Body, Breast, Grid, Torso
from wbad_jax.bioheat.patient import Skin, Tissues, Tumour, Twin
from wbad_jax.bioheat.vessels import pad_points

# Frames of 384 mm; fast to solve in this order.
COARSE = Grid(shape=(8, 32, 32), spacing_mm=12.0)
MIDDLE = Grid(shape=(14, 64, 64), spacing_mm=6.0)
FINE = Grid(shape=(28, 128, 128), spacing_mm=3.0)


def torso(**changes):
    flat = Torso(
        scale=1.0,
        column=0.0,
        row=38.0,
        chest=140.0,
        waist=124.0,
        muscle=11.0,
        fat=13.0,
        skin=1.6,
        fat_waves=np.zeros((4, 4)),
    )
    return flat._replace(**changes)


def breast(side, **changes):
    right = Breast(
        side=float(side),
        column=82.0 * side,
        row=60.0,
        half_width=66.0,
        upper=85.0,
        lower=60.0,
        projection=60.0,
        sag=0.3,
        fat=15.0,
        nipple_column=0.22 * side,
        nipple_row=0.45,
    )
    return right._replace(**changes)


def body():
    return Body(torso(), breast(-1), breast(1))


def twin(*, vessels=(), air=22.0):
    return Twin(
        body=body(),
        tissues=Tissues(tissue.SKIN, tissue.FAT, tissue.GLAND, tissue.MUSCLE),
        vessels=pad_points([points(vessels)], anatomy.MAX_POINTS),
        skin=Skin(
            heat_transfer=14.0, fold=0.7, armpit=0.4, flank=10.0, nipples=(0.5, 0.5)
        ),
        air=air,
        core=37.0,
    )


def tumour(*, vessels=(), heat=3e5, **changes):
    right = Tumour(
        column=90.0,
        row=50.0,
        depth=20.0,
        diameter=20.0,
        tissue=tissue.TUMOUR._replace(metabolic_heat=heat),
        vessels=pad_points([points(vessels)], tumours.MAX_POINTS),
    )
    return right._replace(**changes)


def points(rows):
    return np.asarray(rows, float).reshape(-1, 4)


def with_fat(patient, thickness):
    """The same patient with other fat, in the breasts and on the chest."""
    shape = patient.body
    return patient._replace(
        body=Body(
            shape.torso._replace(fat=thickness),
            *(each._replace(fat=thickness) for each in shape.breasts),
        )
    )


def mirrored(patient):
    """Left for right."""
    shape = patient.body
    waves = np.array(shape.torso.fat_waves)
    waves[:, 2:] *= -1  # the odd ones
    left, right = (
        each._replace(
            side=-each.side,
            column=-each.column,
            nipple_column=-each.nipple_column,
        )
        for each in shape.breasts
    )
    trunk = shape.torso._replace(column=-shape.torso.column, fat_waves=waves)
    return patient._replace(
        body=Body(trunk, right, left),
        vessels=patient.vessels * np.float32([-1, 1, 1, 1]),
        skin=patient.skin._replace(nipples=patient.skin.nipples[::-1]),
    )


def mirrored_tumour(lump):
    return lump._replace(
        column=-lump.column, vessels=lump.vessels * np.float32([-1, 1, 1, 1])
    )

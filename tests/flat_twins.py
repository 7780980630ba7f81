"""Twins on a flat background: a field of known spectrum, noise, and a warm spot."""

import numpy as np

from wbad_jax.bioheat import Camera, CohortSettings
from wbad_jax.bioheat.texture import draw_field, field_power_spectrum
from wbad_jax.data import Dataset

SHAPE = (16, 16)
WINDOW = (22.0, 38.0)
SETTINGS = CohortSettings(
    shape=SHAPE,
    spacing_mm=6.0,
    field_celsius=0.2,
    camera=Camera(psf_sigma_pixels=0.0, noise_celsius=0.05),
)


def spots(count=48, seed=0):
    """Twins on a flat background, so that the field is all there is to vary."""
    rng = np.random.default_rng(seed)
    spectrum = field_power_spectrum(
        SHAPE, 6.0, standard_deviation=0.2, log_slope=-4.6, smoothing_mm=2.0
    )
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    images = []
    for _ in range(count):
        healthy = 30 + draw_field(rng, spectrum) + rng.normal(0, 0.05, SHAPE)
        y, x = rng.uniform(5, 11, 2)
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
        images += [healthy, healthy + rng.uniform(1.0, 2.0) * spot]
    images = (np.array(images, np.float32)[..., None] - WINDOW[0]) / 16
    each = np.repeat(np.arange(count), 2)
    zeros = np.zeros(2 * count, np.float32)
    labels = np.tile([0, 1], count).astype(np.int32)
    return Dataset(
        images=images,
        masks=np.ones(images.shape, bool),
        labels=labels,
        patient_ids=each,
        patient_seeds=each,
        frames=zeros.astype(np.int32),
        seconds=zeros,
        example_ids=np.array([f"{i}-{y}" for i, y in zip(each, labels, strict=True)]),
        factual=labels == each % 2,
        background_celsius=zeros,
        noise_celsius=zeros,
        parameters={"noise_celsius": zeros + 0.05},
        window=WINDOW,
        name="spots",
        version="1",
    )

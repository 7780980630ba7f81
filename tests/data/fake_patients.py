"""Patients without physics, in a thousandth of the time of `bioheat.simulate`."""

import numpy as np

from wbad_jax import bioheat

FRAMES = {"static": 1, "dynamic": 20}


def simulate(seeds, settings, *, workers=2):
    """A warm disc in a cool room; the tumour is a warmer spot."""
    for seed in seeds:
        yield simulate_patient(int(seed), settings)


def simulate_patient(seed, settings):
    rng = np.random.default_rng(seed)
    frames = FRAMES[settings.protocol]
    height, width = settings.shape
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    mask = rows**2 + columns**2 < 0.8
    room = rng.normal(22.6, 1.2)
    scene = np.where(mask, rng.normal(30.5, 1.0) + columns, room)
    y, x = rng.uniform(-0.4, 0.4, 2)
    spot = 2.0 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.01) * mask
    noise = rng.normal(0, 0.05, (frames, *mask.shape))
    seconds = np.arange(frames, dtype=np.float32) * 15
    warming = 1 - np.exp(-seconds / 120)[:, None, None] / 2
    return bioheat.Patient(
        seed=seed,
        has_tumour=bool(rng.integers(2)),
        healthy_celsius=(scene + noise).astype(np.float32),
        tumour_celsius=(scene + spot * warming + noise).astype(np.float32),
        mask=mask,
        seconds=seconds,
        parameters={
            name: seed % 1000 + index / 100
            for index, name in enumerate(bioheat.PARAMETER_NAMES)
        },
    )

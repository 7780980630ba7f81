"""Simulated breast thermograms: bioheat physics, anatomy, camera, patients.

NumPy and SciPy at data-building time, nothing here is differentiated or jitted. Physics
(`tissue`, `buried_source`) is in SI units; anatomy and cameras are in millimetres,
pixels and degrees Celsius, and every name of another unit carries it.
"""

from wbad_jax.bioheat.buried_source import sphere_contrast, surface_contrast_profile
from wbad_jax.bioheat.camera import Camera
from wbad_jax.bioheat.cohort import (
    CohortSettings,
    PatientRecord,
    Tumour,
    simulate_patient,
)
from wbad_jax.bioheat.tissue import GLAND, Tissue, gautherie_heat

__all__ = [
    "GLAND",
    "Camera",
    "CohortSettings",
    "PatientRecord",
    "Tissue",
    "Tumour",
    "gautherie_heat",
    "simulate_patient",
    "sphere_contrast",
    "surface_contrast_profile",
]

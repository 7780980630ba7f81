"""Simulated breast thermograms: bioheat physics, anatomy, tumours, camera, patients.

The heat solver and the thermal twin are JAX: pure, differentiable, batched. Drawing
patients and taking their pictures is NumPy. Physics is in SI units; anatomy and images
are in millimetres and degrees Celsius, and every name of another unit carries it.
"""

from wbad_jax.bioheat.acquisition import Acquisition, draw_acquisition
from wbad_jax.bioheat.anatomy import HealthySettings, draw_twin
from wbad_jax.bioheat.body_shape import Body, Breast, Grid, Torso
from wbad_jax.bioheat.buried_source import sphere_contrast
from wbad_jax.bioheat.calibration import Calibration
from wbad_jax.bioheat.camera import Camera
from wbad_jax.bioheat.cohort import (
    PARAMETER_NAMES,
    CohortSettings,
    Patient,
    draw_healthy,
    simulate,
    simulate_patient,
)
from wbad_jax.bioheat.conduction import Surroundings, heat_balance, skin_temperature
from wbad_jax.bioheat.cut_cells import cut_cells
from wbad_jax.bioheat.inverse import Inverse, InverseSettings
from wbad_jax.bioheat.medium import Region, tissue_medium
from wbad_jax.bioheat.outline import NoTemplateFitsError, Outline, fit_outline
from wbad_jax.bioheat.patient import Skin, Tissues, Tumour, Twin
from wbad_jax.bioheat.solver import NotConvergedError, check_converged, solve
from wbad_jax.bioheat.thermograms import (
    ColdStress,
    TumourPlacementError,
    cold_stress,
    solve_healthy,
    solve_tumour,
)
from wbad_jax.bioheat.tissue import FAT, GLAND, MUSCLE, SKIN, Tissue, gautherie_heat
from wbad_jax.bioheat.transient import evolve
from wbad_jax.bioheat.tumours import TumourSettings, draw_tumour
from wbad_jax.bioheat.twin import View

__all__ = [
    "FAT",
    "GLAND",
    "MUSCLE",
    "PARAMETER_NAMES",
    "SKIN",
    "Acquisition",
    "Body",
    "Breast",
    "Calibration",
    "Camera",
    "CohortSettings",
    "ColdStress",
    "Grid",
    "HealthySettings",
    "Inverse",
    "InverseSettings",
    "NoTemplateFitsError",
    "NotConvergedError",
    "Outline",
    "Patient",
    "Region",
    "Skin",
    "Surroundings",
    "Tissue",
    "Tissues",
    "Torso",
    "Tumour",
    "TumourPlacementError",
    "TumourSettings",
    "Twin",
    "View",
    "check_converged",
    "cold_stress",
    "cut_cells",
    "draw_acquisition",
    "draw_healthy",
    "draw_tumour",
    "draw_twin",
    "evolve",
    "fit_outline",
    "gautherie_heat",
    "heat_balance",
    "simulate",
    "simulate_patient",
    "skin_temperature",
    "solve",
    "solve_healthy",
    "solve_tumour",
    "sphere_contrast",
    "tissue_medium",
]

"""Data sets: TFDS builders, loading, splits by patient, trivial baselines, audit.

Builders run without TensorFlow, so files are always `array_record` and a split is read
as a data source.
"""

from wbad_jax.data.audit import audit_dataset
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.dmr_ir import DmrIr, DmrIrConfig
from wbad_jax.data.dmr_ir_names import DmrIrName, parse_name
from wbad_jax.data.eras import eras_of, split_by_era
from wbad_jax.data.errors import DataError
from wbad_jax.data.findings import Finding, worst_status
from wbad_jax.data.image_folder import ImageFolder, ImageFolderConfig
from wbad_jax.data.leaking_split import split_by_image
from wbad_jax.data.other_cohort import (
    is_other,
    join_cohorts,
    names_apart,
    split_to_other,
)
from wbad_jax.data.pipeline import BUILDERS, find_builder, load, prepare
from wbad_jax.data.pixels import PIXEL_UNITS, PixelSettings
from wbad_jax.data.reading import read_examples, read_index
from wbad_jax.data.simulated import SimulatedThermograms, SimulatedThermogramsConfig
from wbad_jax.data.splits import check_disjoint, patient_folds, split_by_patient
from wbad_jax.data.statistics import compare, thermogram_statistics
from wbad_jax.data.tfds_by_name import TfdsSettings, load_by_name
from wbad_jax.data.trivial_baselines import BASELINE_FEATURES, baseline_scores

__all__ = [
    "BASELINE_FEATURES",
    "BUILDERS",
    "DataError",
    "Dataset",
    "DmrIr",
    "DmrIrConfig",
    "DmrIrName",
    "Finding",
    "ImageFolder",
    "ImageFolderConfig",
    "PIXEL_UNITS",
    "PixelSettings",
    "SimulatedThermograms",
    "SimulatedThermogramsConfig",
    "TfdsSettings",
    "audit_dataset",
    "baseline_scores",
    "check_disjoint",
    "compare",
    "eras_of",
    "find_builder",
    "is_other",
    "join_cohorts",
    "load",
    "load_by_name",
    "names_apart",
    "parse_name",
    "patient_folds",
    "prepare",
    "read_examples",
    "read_index",
    "split_by_era",
    "split_by_image",
    "split_by_patient",
    "split_to_other",
    "thermogram_statistics",
    "worst_status",
]

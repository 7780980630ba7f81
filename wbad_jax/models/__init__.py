"""Classifiers behind a wavelet denoiser."""

from wbad_jax.models.cnn import ResidualCNN, num_parameters
from wbad_jax.models.defended import Classifier, DefendedClassifier
from wbad_jax.models.downsampling import DOWNSAMPLINGS
from wbad_jax.models.exporting import PLATFORMS, celsius_logits_fn, export_logits
from wbad_jax.models.features import feature_images, num_features
from wbad_jax.models.lesion_map import LesionMapNetwork
from wbad_jax.models.model_settings import MODELS, ModelSettings, check_level
from wbad_jax.models.places import PlaceOffsets, PlaceScale
from wbad_jax.models.precision import COMPUTE_DTYPES
from wbad_jax.models.resnet import ResNet

__all__ = [
    "COMPUTE_DTYPES",
    "Classifier",
    "DOWNSAMPLINGS",
    "DefendedClassifier",
    "LesionMapNetwork",
    "MODELS",
    "ModelSettings",
    "PLATFORMS",
    "PlaceOffsets",
    "PlaceScale",
    "ResNet",
    "ResidualCNN",
    "celsius_logits_fn",
    "check_level",
    "export_logits",
    "feature_images",
    "num_features",
    "num_parameters",
]

"""Robust training: objectives, one jitted step, the loop, checkpoints."""

from wbad_jax.training import averaging
from wbad_jax.training.accumulation import check_parts
from wbad_jax.training.augmentation import AugmentationSettings, augment
from wbad_jax.training.checkpoints import Checkpoints
from wbad_jax.training.lesion_maps import lesion_maps
from wbad_jax.training.loop import (
    LoopSettings,
    NonFiniteLossError,
    StopRequestedError,
    run_training,
)
from wbad_jax.training.metric_log import MetricLog, read_metrics
from wbad_jax.training.named_objectives import OBJECTIVES, make_objective
from wbad_jax.training.objectives import Objective, mixture
from wbad_jax.training.optimizers import adamw, epsilon_ramp
from wbad_jax.training.steps import (
    TrainState,
    init_state,
    make_robust_eval_step,
    make_train_step,
)
from wbad_jax.training.trades import mart, trades
from wbad_jax.training.weight_perturbation import WeightPerturbation

__all__ = [
    "AugmentationSettings",
    "Checkpoints",
    "LoopSettings",
    "MetricLog",
    "NonFiniteLossError",
    "OBJECTIVES",
    "Objective",
    "StopRequestedError",
    "TrainState",
    "WeightPerturbation",
    "adamw",
    "averaging",
    "augment",
    "check_parts",
    "epsilon_ramp",
    "init_state",
    "lesion_maps",
    "make_objective",
    "make_robust_eval_step",
    "make_train_step",
    "mart",
    "mixture",
    "read_metrics",
    "run_training",
    "trades",
]

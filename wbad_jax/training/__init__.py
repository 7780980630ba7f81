"""Robust training: objectives, one jitted step, the loop, checkpoints."""

from wbad_jax.training.augmentation import AugmentationSettings, augment
from wbad_jax.training.checkpoints import Checkpoints
from wbad_jax.training.loop import (
    LoopSettings,
    NonFiniteLossError,
    StopRequestedError,
    run_training,
)
from wbad_jax.training.metric_log import MetricLog, read_metrics
from wbad_jax.training.objectives import OBJECTIVES, mixture, objective_weights
from wbad_jax.training.optimizers import adamw, epsilon_ramp
from wbad_jax.training.steps import (
    TrainState,
    init_state,
    make_robust_eval_step,
    make_train_step,
)

__all__ = [
    "AugmentationSettings",
    "Checkpoints",
    "LoopSettings",
    "MetricLog",
    "NonFiniteLossError",
    "OBJECTIVES",
    "StopRequestedError",
    "TrainState",
    "adamw",
    "augment",
    "epsilon_ramp",
    "init_state",
    "make_robust_eval_step",
    "make_train_step",
    "mixture",
    "objective_weights",
    "read_metrics",
    "run_training",
]

"""From a config to its arms: the frozen settings of the library, checked first."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax

from configs.default import Config
from experiments import parameter_files
from experiments.attack_settings import training_attacks
from experiments.config_errors import ConfigError, build, naming
from wbad_jax import denoise, models, training
from wbad_jax.data import Dataset


@dataclasses.dataclass(frozen=True)
class Arm:
    """One classifier to train: its parts and how it is trained."""

    name: str
    classifier: models.Classifier
    evaluated: models.Classifier  # of the same parameters, as evaluation computes it
    loop: training.LoopSettings | None  # None: parameters are taken over untrained
    optimizer: optax.GradientTransformation
    objective: training.Objective
    average: training.averaging.Decay
    weight_perturbation: training.WeightPerturbation | None
    init_from: str
    epsilon_share: Callable[[jax.Array], jax.Array]
    epsilon_range: tuple[float, float]


def build_arms(config: Config, image_shape: tuple[int, int, int]) -> list[Arm]:
    """The arms of an experiment, in the order of training.

    Raises:
        ConfigError: If an arm is unknown, or has settings that the library refuses.
    """
    if not config.arms:
        raise ConfigError("arms must name at least one arm.")
    unknown = [name for name in config.arms if name not in config.arm]
    if unknown:
        raise ConfigError(
            f"arms names {unknown[0]!r}; config.arm has {sorted(config.arm)}."
        )
    return [_build_arm(config, name, image_shape) for name in config.arms]


def check_starts(config: Config) -> None:
    """What training asks of its arms, and a finished run does not.

    Raises:
        ConfigError: If an arm starts from one that is trained after it, or not at all.
    """
    for place, name in enumerate(config.arms):
        start = config.arm[name].init_from
        earlier = config.arms[:place]
        if start and start not in earlier and not parameter_files.exist_in(start):
            raise ConfigError(
                f"arm.{name}.init_from is {start!r}, which does not stand before "
                f"{name!r} in arms {tuple(config.arms)}, and is no folder of a "
                f"released arm with {parameter_files.FILE}."
            )


def _build_arm(config: Config, name: str, image_shape) -> Arm:
    settings = config.arm[name]
    denoiser = (
        build(denoise.DenoiserSettings, "denoiser", config.denoiser)
        if settings.denoise
        else None
    )
    model = build(
        models.ModelSettings,
        "model",
        config.model.to_dict(),
        image_shape=tuple(image_shape),
    )
    trained_as = naming("training")(
        dataclasses.replace, model, compute_dtype=config.training.compute_dtype,
        remat=config.training.remat,
    )  # fmt: skip
    evaluated_as = naming("evaluation")(
        dataclasses.replace, model, compute_dtype=evaluation_dtype(config)
    )
    if settings.num_steps == 0 and not settings.init_from:
        raise ConfigError(f"arm.{name}.num_steps is 0, but init_from is not set.")
    with_field = naming(f"arm.{name}")
    classifier = with_field(models.Classifier, trained_as, denoiser)
    trained = settings.num_steps != 0
    return Arm(
        name=name,
        classifier=classifier,
        evaluated=models.Classifier(evaluated_as, denoiser),
        loop=_build_loop(config, name) if trained else None,
        optimizer=_build_optimizer(config, max(settings.num_steps, 1)),
        objective=with_field(_build_objective, config, name, classifier),
        average=naming("training")(_build_average, config, settings.num_steps),
        weight_perturbation=_build_weight_perturbation(config, settings.num_steps),
        init_from=settings.init_from,
        epsilon_share=training.epsilon_ramp(
            round(settings.epsilon_ramp * settings.num_steps),
            round(settings.epsilon_delay * settings.num_steps),
        ),
        epsilon_range=tuple(settings.epsilon_range),
    )


def evaluation_dtype(config: Config) -> str:
    """What networks compute in under evaluation: that of training unless it says so."""
    return config.evaluation.compute_dtype or config.training.compute_dtype


def _build_objective(config: Config, name: str, classifier) -> training.Objective:
    values = config.training
    maps = None
    if classifier.has_lesion_map:
        maps = (classifier.lesion_map, classifier.settings.scale)
    return training.make_objective(
        config.arm[name].objective,
        classifier.logits_fn,
        training_attacks(config),
        mix=values.mix,
        trades_beta=values.trades_beta,
        mart_beta=values.mart_beta,
        lesion_map_weight=values.lesion_map_weight,
        maps=maps,
        label_smoothing=values.label_smoothing,
    )


def check_twins(config: Config, arms: Sequence[Arm], train: Dataset) -> None:
    """Refuse to learn lesions from patients without twins.

    Raises:
        ConfigError: If an arm has objective "lesion_map" and `train` holds an image
            whose twin is not beside it.
    """
    paired = len(train) % 2 == 0 and (
        (train.labels.reshape(-1, 2) == (0, 1)).all()
        and np.array_equal(train.patient_ids[::2], train.patient_ids[1::2])
        and np.array_equal(train.frames[::2], train.frames[1::2])
    )
    for arm in arms:
        if config.arm[arm.name].objective == "lesion_map" and not paired:
            raise ConfigError(
                f"arm.{arm.name}.objective 'lesion_map' needs both twins of each "
                "patient: a simulated cohort, and data.train_on_twins."
            )


def _build_average(config: Config, num_steps: int) -> training.averaging.Decay:
    values = config.training
    if values.averaging == "ema":
        return training.averaging.exponential(values.ema_decay)
    if values.averaging == "swa":
        return training.averaging.stochastic(round(values.swa_start * num_steps))
    raise ValueError(f"averaging must be 'ema' or 'swa', got {values.averaging!r}.")


def _build_weight_perturbation(config: Config, num_steps: int):
    values = config.training.weight_perturbation
    if not values.gamma:
        return None
    return build(
        training.WeightPerturbation,
        "training.weight_perturbation",
        {"gamma": values.gamma, "start_step": round(values.start * num_steps)},
    )


def _build_loop(config: Config, name: str) -> training.LoopSettings:
    rhythm, arm = config.training, config.arm[name]
    return build(
        training.LoopSettings,
        f"arm.{name}",
        {
            "num_steps": arm.num_steps,
            "log_every": rhythm.log_every,
            "eval_every": rhythm.eval_every,
            "checkpoint_every": rhythm.checkpoint_every,
            "select_by": arm.select_by,
            "patience": rhythm.patience,
            "collapse_drop": rhythm.fast_collapse_drop
            if arm.objective == "fast"
            else None,
        },
    )


def _build_optimizer(config: Config, num_steps: int):
    names = (
        "learning_rate",
        "threshold_learning_rate",
        "warmup_fraction",
        "weight_decay",
        "clip_norm",
    )
    values = {name: config.training[name] for name in names}
    return build(training.adamw, "training", values, num_steps=num_steps)


def augmentation(
    config: Config, window: tuple[float, float]
) -> training.AugmentationSettings:
    """How training images change at random.

    Args:
        config: The experiment.
        window: Temperatures of pixel values 0 and 1, in degrees Celsius.

    Raises:
        ConfigError: If a change is negative or too large.
    """
    values = config.training.augmentation.to_dict()
    celsius, width = values.pop("max_offset_celsius"), window[1] - window[0]
    field = "training.augmentation"
    offset = celsius / width
    if not 0 <= offset <= 1:
        raise ConfigError(
            f"{field}.max_offset_celsius must be between 0 and the whole window of "
            f"{width:g} °C, got {celsius}."
        )
    return build(training.AugmentationSettings, field, values, max_offset=offset)

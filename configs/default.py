"""Every field of an experiment, with its default; the other configs change lines.

Epsilon may be given in pixel units (`attack.epsilon`, which wins) or in degrees Celsius
(`attack.epsilon_celsius`). Images map a fixed window of temperature to [0, 1].
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from configs import evaluation_fields

# An `ml_collections.ConfigDict`, whose fields no type checker knows.
Config = Any


def get_config(mode: str = "full") -> Config:
    """All fields at their defaults: the cohort of 1,837 simulated patients."""
    check_mode(mode)
    config: Config = ml_collections.ConfigDict()
    config.name = "default"
    config.seed = 0
    # Trained in this order; an arm can only start from an earlier one.
    config.arms = ("undefended", "wbad")
    # Whether training and evaluation end with report.html in the run's folder.
    config.report = True

    config.data = ml_collections.ConfigDict()
    config.data.builder = "simulated_thermograms/paper"
    config.data.data_dir = placeholder(str)  # prepared data; a cache folder if unset
    config.data.manual_dir = placeholder(str)  # raw files of builders that need them
    # Fields of the builder's config to change, such as `height`; what is prepared with
    # other options is kept apart.
    config.data.options = ml_collections.ConfigDict()
    # Patients to take by number: all if empty, from the first to the last of two
    # numbers, or each one of more.
    config.data.patients = ()
    # "patient": at random, all images of a patient in one part. "era": whole eras are
    # held out. "image": leaks patients, to measure by how much that inflates a result;
    # refused without `allow_leakage`.
    config.data.split = "patient"
    config.data.allow_leakage = False
    # Eras: "patient_number" or a number known of each image, such as
    # "acquisition_day"; where one era ends and the next begins (of days also dates like
    # "2015-06-30"); eras to test on, counted from 0, or each in turn if empty.
    config.data.era = dict(by="patient_number", boundaries=(), held_out=())
    # A data set of other patients to test on, and fields of its builder's config to
    # change: all of `builder` is then for training and validation.
    config.data.test_builder = placeholder(str)
    config.data.test_options = ml_collections.ConfigDict()
    config.data.num_folds = 1  # above 1: patient-disjoint cross-validation
    config.data.test_fraction = 0.25
    config.data.validation_fraction = 0.15
    config.data.split_seed = 0
    # Train on both twins of a patient where there are twins, or on the factual one.
    config.data.train_on_twins = True
    config.data.max_examples = placeholder(int)  # per split; smoke tests use it
    # Ask the cheap questions of `experiments.audit` before training.
    config.data.audit = True

    config.attack = ml_collections.ConfigDict()  # the threat model
    config.attack.epsilon = placeholder(float)
    config.attack.epsilon_celsius = 0.125
    # L2 radius as a multiple of epsilon. Unset: the median over all patients of
    # |s|_2 / |s|_inf, s = difference of a patient's twins, so that both norms buy the
    # same share of a lesion; 8 where there are no twins.
    config.attack.l2_ratio = placeholder(float)

    config.model = ml_collections.ConfigDict()
    # "cnn", "resnet", "lesion_map", or the import path "package.module:Class" of any
    # flax nnx module, built as Class(inputs, num_classes, rngs=..., **options).
    config.model.name = "cnn"
    config.model.options = ml_collections.ConfigDict()
    config.model.widths = (16, 32, 64)
    config.model.blocks = 1
    # Whether the network learns offsets for each place, beside its convolutions.
    config.model.places = False
    config.model.downsampling = "stride"  # or "dwt": low-pass band of a wavelet
    config.model.downsampling_wavelet = "haar"
    config.model.wavelet = "haar"
    config.model.level = 2
    config.model.mirrored = True

    config.denoiser = ml_collections.ConfigDict()
    config.denoiser.wavelet = "db2"
    config.denoiser.mode = "symmetric"
    config.denoiser.level = 2
    config.denoiser.shrinkage = "soft"
    config.denoiser.threshold_rule = "universal"
    config.denoiser.threshold = 0.0
    config.denoiser.sigma = placeholder(float)
    config.denoiser.sigma_gradient = False
    config.denoiser.level_noise = False
    config.denoiser.sharing = "subband"
    config.denoiser.initial_scale = 1.0
    config.denoiser.smooth_width = 0.25
    config.denoiser.max_shifts = 0
    config.denoiser.stationary = False
    config.denoiser.backend = "auto"

    config.arm = ml_collections.ConfigDict()
    config.arm.undefended = _arm("standard", denoise=False)
    config.arm.denoise = _arm("standard", denoise=True)
    config.arm.denoise_frozen = _arm("standard", denoise=True)
    config.arm.denoise_frozen.num_steps = 0
    config.arm.denoise_frozen.init_from = "undefended"
    config.arm.adversarial = _arm("adversarial", denoise=False)
    config.arm.wbad = _arm("wbad", denoise=True)
    # For `model.name = "lesion_map"` and patients with twins; learns from scratch.
    config.arm.lesion_map = _arm("lesion_map", denoise=False)
    config.arm.lesion_map.init_from = ""
    config.arm.lesion_map.num_steps = 1600
    config.arm.lesion_map.epsilon_delay = 0.15
    config.arm.lesion_map.epsilon_ramp = 0.15

    config.training = ml_collections.ConfigDict()
    config.training.batch_size = 64
    # What networks compute in, "float32" or "bfloat16". Parameters, denoiser, loss and
    # attacks stay in float32.
    config.training.compute_dtype = "float32"
    # Whether gradients compute residual blocks again: less memory for more time.
    config.training.remat = False
    # Parts of a batch that are gone through one after the other, for one update: less
    # memory. Divides the batch.
    config.training.accumulation_steps = 1
    # Whether training images lie on the devices, which then gather each batch:
    # "always", "never" (batches are made ahead on the host), or "auto", if they fit.
    config.training.data_on_device = "auto"
    config.training.random_flip = True  # left to right; changes no label
    # Random changes of the training images, one draw for all images of a patient; 0 is
    # off. Rotation, shift and offset are uniform up to this both ways, gain is 1 plus
    # or minus this.
    config.training.augmentation = ml_collections.ConfigDict()
    config.training.augmentation.max_rotation_degrees = 0.0
    config.training.augmentation.max_shift_pixels = 0.0
    config.training.augmentation.max_gain = 0.0
    config.training.augmentation.max_offset_celsius = 0.0
    # Gaussian noise on the training images, pixel units, not clipped: for smoothing.
    # Attacks inside the step clip what they make of them. On the validation images it
    # gives the score "noisy_accuracy".
    config.training.augmentation.noise_sigma = 0.0
    # Whether every class counts alike in the loss, however many examples it has.
    config.training.balance_classes = False
    config.training.learning_rate = 4e-3
    config.training.threshold_learning_rate = placeholder(float)
    config.training.warmup_fraction = 0.05
    config.training.weight_decay = 1e-3
    config.training.clip_norm = 1.0
    # Parameters to evaluate: "ema" with `ema_decay`, or "swa", the mean over the steps
    # from the share `swa_start` on.
    config.training.averaging = "ema"
    config.training.ema_decay = 0.98
    config.training.swa_start = 0.75
    config.training.label_smoothing = 0.0
    # The mix of objective "wbad": weights of clean, FGSM, PGD and C&W examples.
    config.training.mix = dict(clean=1.0, fgsm=1.0, pgd=2.0, cw=1.0)
    config.training.trades_beta = 6.0
    config.training.mart_beta = 5.0
    config.training.lesion_map_weight = 0.3
    # Adversarial weight perturbation: relative size (0 for none; 0.01 and, with TRADES,
    # 0.005 in its paper's code), and the share of the steps before it starts.
    config.training.weight_perturbation = dict(gamma=0.0, start=0.0)
    # Validations without a better score that end training; 0 for any number.
    config.training.patience = 0
    # Objective "fast" ends when its validation score falls by more than this.
    config.training.fast_collapse_drop = 0.2
    config.training.log_every = 10
    config.training.eval_every = 100
    config.training.checkpoint_every = 100
    # Attacks inside the training step, which need no more than their last point, and
    # on the validation set.
    config.training.pgd = dict(num_steps=7, step_size=0.3, start="random", keep="last")
    config.training.trades = dict(num_steps=10, step_size=0.226, keep="last")
    config.training.mart = dict(
        num_steps=10, step_size=0.226, start="random", keep="last", loss="cross_entropy"
    )
    config.training.fast = dict(step_size=1.25)
    config.training.cw = dict(num_searches=1, num_steps=8, learning_rate=2e-3)
    config.training.validation_pgd = dict(num_steps=10)

    config.evaluation = evaluation_fields.evaluation_fields()
    config.certificates = evaluation_fields.certificate_fields()
    config.detection = evaluation_fields.detection_fields()

    if mode == "smoke":
        shrink_for_smoke(config)
    return config


def check_mode(mode: str) -> None:
    """Refuse a mode that no config knows."""
    if mode not in ("full", "smoke"):
        raise ValueError(f"mode must be 'full' or 'smoke', got {mode!r}.")


def shrink_for_smoke(config: Config) -> None:
    """Turn any config into one that exercises all its parts quickly."""
    if config.data.builder.startswith("simulated_thermograms"):
        config.data.builder = "simulated_thermograms/tiny"
    config.data.max_examples = 16
    config.model.widths = (8, 16)
    for arm in config.arms:
        config.arm[arm].num_steps = min(config.arm[arm].num_steps, 4)
    config.training.batch_size = 8
    config.training.eval_every = 2
    config.training.checkpoint_every = 2
    config.training.log_every = 2
    config.training.pgd.num_steps = 2
    config.training.cw.num_steps = 2
    config.training.validation_pgd.num_steps = 2
    evaluation_fields.shrink_evaluation(config)


def _arm(objective: str, *, denoise: bool) -> Config:
    """Settings of one arm."""
    robust = objective != "standard"
    arm: Config = ml_collections.ConfigDict()
    # "standard", "adversarial", "wbad", "trades", "mart", "fast" or "lesion_map"
    arm.objective = objective
    arm.denoise = denoise  # whether the denoiser stands before the features
    arm.num_steps = 600  # 0 takes the network of `init_from` as it is
    # Arm whose best network is the starting point, or the folder of a released arm,
    # such as "checkpoints/quickstart/wbad", to tune it to other patients; "" starts
    # from scratch. Adversarial training from scratch on some hundred patients tends to
    # stay at chance.
    arm.init_from = "undefended" if robust else ""
    # Shares of the steps with epsilon 0, and then with epsilon rising.
    arm.epsilon_delay = 0.0
    arm.epsilon_ramp = 0.3 if robust else 0.0
    # Multiples of epsilon, between which each example of a training step draws its own,
    # uniform in the logarithm. Validation and evaluation keep to epsilon.
    arm.epsilon_range = (1.0, 1.0)
    # Validation score that picks the best checkpoint.
    arm.select_by = "robust_accuracy" if robust else "clean_accuracy"
    return arm


def make_sweep(
    name: str,
    base: Config,
    runs: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    reference: str = "",
    shown_arms: Sequence[str] = (),
    shown_attacks: Sequence[str] = ("worst_case",),
) -> Config:
    """A sweep for `experiments.ablate`: runs that differ from a config in some fields.

    Args:
        name: Of the sweep, and its folder.
        base: The config that all runs start from.
        runs: By name, the fields that are other than in `base`, with dotted names.
        grid: Values by dotted name of a field; each combination is one more run, called
            such as "level=2,wavelet=db4".
        seeds: Each run is repeated with each of them.
        reference: Run that the others are compared with; the first if empty.
        shown_arms: Arms on the terminal and in the figure, all if empty; the files hold
            all of them always.
        shown_attacks: Attacks shown there beside the clean images.
    """
    sweep: Config = ml_collections.ConfigDict()
    sweep.name = name
    sweep.base = base
    sweep.base.report = False  # 5 MB a run
    # Dotted names are no keys of a ConfigDict: pairs in their place.
    sweep.runs = tuple(
        (run, tuple(fields.items())) for run, fields in (runs or {}).items()
    )
    sweep.grid = tuple((field, tuple(values)) for field, values in (grid or {}).items())
    sweep.seeds = tuple(seeds)
    sweep.reference = reference
    sweep.shown_arms = tuple(shown_arms)
    sweep.shown_attacks = tuple(shown_attacks)
    return sweep

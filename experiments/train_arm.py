"""Training of one arm: data in, best parameters out, resumable at any step."""

import contextlib
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from configs.default import Config
from experiments import parameter_files
from experiments.batches import examples_of_a_patient, feed
from experiments.cohort import examples_of
from experiments.config_errors import ConfigError, build
from experiments.settings import Arm, augmentation
from experiments.step_trace import StepTrace
from experiments.threshold_log import threshold_observer
from wbad_jax import attacks, devices, processes, training
from wbad_jax.data import Dataset
from wbad_jax.evaluation import Evaluator
from wbad_jax.training import TrainState
from wbad_jax.types import Params


def train_arm(
    arm: Arm,
    config: Config,
    *,
    train: Dataset,
    validation: Dataset,
    earlier: Mapping[str, Params],
    budgets: Mapping[str, float],
    workdir: pathlib.Path,
    run: str,
    stop_requested: Callable[[], bool],
    profile: bool = False,
) -> Params:
    """Train an arm, or restore it if it is finished.

    Args:
        arm: What to train.
        config: The experiment.
        train: Examples to fit.
        validation: Examples that choose the best checkpoint.
        earlier: Best parameters of the arms trained before.
        budgets: Radius per norm, pixel units.
        workdir: Folder of the experiment.
        run: Name of this training in it, such as "wbad" or "fold0/wbad".
        stop_requested: Polled after every step.
        profile: Whether to trace a few steps, into `workdir/profile/<run>`.

    Returns:
        The averaged parameters of the best validation.
    """
    # Other arms, other random draws: the surrogate is not the victim's twin.
    key = jax.random.fold_in(jax.random.key(config.seed), stable_hash(arm.name))
    mesh = training_mesh(config)
    params = jax.jit(arm.classifier.init)(jax.random.fold_in(key, 0))
    params = devices.replicate(params, mesh)
    params = _start(arm, params, earlier)
    if arm.loop is None:
        return params
    init = functools.partial(training.init_state, optimizer=arm.optimizer)
    state = devices.replicate(jax.jit(init)(params), mesh)
    with training.Checkpoints(workdir / run / "checkpoints") as checkpoints:
        resumed = checkpoints.latest_step() is not None
        if resumed:
            state = checkpoints.restore(state)
        done = int(state.step)
        if done == arm.loop.num_steps or state.stopped:
            print(f"{run}: finished earlier, restored step {done}.")
            return state.best_params
        if resumed:
            print(f"{run}: resuming from step {done}.")
        profile = profile and processes.is_first()
        trace = StepTrace(workdir / "profile" / run) if profile else None
        state = _run(
            arm, config, state, jax.random.fold_in(key, 1),
            train=train, validation=validation, budgets=budgets, workdir=workdir,
            run=run, checkpoints=checkpoints, stop_requested=stop_requested, mesh=mesh,
            trace=trace,
        )  # fmt: skip
    print(
        f"{run}: best validation {arm.loop.select_by} "
        f"{float(state.best_score):.3f} at step {int(state.best_step)}."
    )
    return state.best_params


def training_mesh(config: Config) -> Mesh:
    """Devices that share each part of a batch: as many as divide it.

    Raises:
        ConfigError: If not every process can have its part.
    """
    part = config.training.batch_size // config.training.accumulation_steps
    try:
        return devices.data_mesh(part)
    except ValueError as error:
        raise ConfigError(f"training.{error}") from error


def restore_arm(
    arm: Arm,
    *,
    workdir: pathlib.Path,
    run: str,
    earlier: Mapping[str, Params],
) -> Params:
    """Best parameters of an arm that is trained, or released.

    Raises:
        ConfigError: If its training is not finished, or the file is damaged.
    """
    params = jax.jit(arm.classifier.init)(jax.random.key(0))
    if arm.loop is None:
        return _start(arm, params, earlier)
    released = workdir / run / parameter_files.FILE
    if released.exists():
        return parameter_files.read_parameters(released, params)
    state = training.init_state(params, arm.optimizer)
    directory = workdir / run / "checkpoints"
    with training.Checkpoints(directory) as checkpoints:
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(state)
        if int(state.step) != arm.loop.num_steps and not state.stopped:
            raise ConfigError(
                f"{directory}: training has to reach step {arm.loop.num_steps}, but "
                f"is at {int(state.step)}. Run experiments.train first."
            )
        return state.best_params


def restore_arms(
    arms: Iterable[Arm], *, workdir: pathlib.Path, run_name: Callable[[str], str]
) -> dict[str, tuple[Arm, Params]]:
    """All arms of a run with their best parameters, by name.

    Args:
        arms: In the order of training.
        workdir: Folder of the run.
        run_name: From the name of an arm to that of its training, `Fold.run_name`.

    Raises:
        ConfigError: If one is not finished, or its file is damaged.
    """
    trained: dict[str, tuple[Arm, Params]] = {}
    for arm in arms:
        earlier = {name: params for name, (_, params) in trained.items()}
        run = run_name(arm.name)
        params = restore_arm(arm, workdir=workdir, run=run, earlier=earlier)
        trained[arm.name] = arm, params
    return trained


def parameters_sha256(params: Params) -> str:
    """Digest of all parameters, names included, to compare runs bit for bit."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _run(
    arm, config, state, key, *,
    train, validation, budgets, workdir, run, checkpoints, stop_requested, mesh,
    trace,
) -> TrainState:  # fmt: skip
    train_step = training.make_train_step(
        arm.objective,
        arm.optimizer,
        average=arm.average,
        epsilon_share=arm.epsilon_share,
        epsilon_range=arm.epsilon_range,
        weight_perturbation=arm.weight_perturbation,
        augment=_augment(config, train),
        accumulation_steps=config.training.accumulation_steps,
    )
    batch_at = feed(
        train,
        config.training.batch_size,
        config.seed,
        mesh,
        place=config.training.data_on_device,
        random_flip=config.training.random_flip,
        balance_classes=config.training.balance_classes,
    )
    with (
        training.MetricLog(workdir, run, int(state.step)) as log,
        contextlib.closing(trace) if trace else contextlib.nullcontext(),
    ):
        return training.run_training(
            state,
            train_step=train_step,
            batch_at=batch_at,
            validate=_validator(arm, config, validation, budgets, key),
            key=key,
            budgets={norm: jnp.float32(size) for norm, size in budgets.items()},
            settings=arm.loop,
            checkpoints=checkpoints,
            log=log,
            stop_requested=stop_requested,
            before_step=trace or (lambda index: None),
            observe=threshold_observer(arm, validation),
            description=run,
        )


def _augment(config, train: Dataset):
    """From a key and images to changed images; None where nothing is switched on."""
    settings = augmentation(config, train.window)
    if not settings.active:
        return None
    # Twins are changed alike: their difference stays the tumour alone.
    each = examples_of_a_patient(train)
    return functools.partial(training.augment, settings=settings, each=each)


def _validator(arm, config, validation, budgets, key):
    """Clean, robust and, with noise, noisy accuracy on the validation set."""
    attack = build(
        attacks.PGD, "training.validation_pgd", config.training.validation_pgd
    )
    step = training.make_robust_eval_step(arm.classifier.logits_fn, attack)
    mesh = devices.data_mesh()
    size = min(config.evaluation.batch_size, len(validation))
    size = devices.round_up(size, mesh)
    # They stay on the devices: a validation set is small and used often.
    batches = [devices.split(b, mesh) for b in examples_of(validation).batches(size)]
    noisy = _noisy_accuracy(arm, config, validation)

    def validate(params: Params) -> dict[str, float]:
        params = devices.replicate(params, mesh)
        sums = np.zeros(2)
        for index, batch in enumerate(batches):
            batch_key = jax.random.fold_in(key, index)
            flags = step(params, batch, batch_key, budgets[attack.norm])
            sums += [float(jnp.sum(flag)) for flag in flags]
        clean, robust = sums / len(validation)
        scores = {"clean_accuracy": clean, "robust_accuracy": robust}
        return scores | ({"noisy_accuracy": noisy(params)} if noisy else {})

    return validate


def _noisy_accuracy(arm, config, validation: Dataset):
    """Accuracy under the noise of training, which draws once; None without noise."""
    sigma = config.training.augmentation.noise_sigma
    if not sigma:
        return None
    draws = np.random.default_rng(config.seed).normal(0, sigma, validation.images.shape)
    images = (validation.images + draws).astype(np.float32)
    examples, size = examples_of(validation), config.evaluation.batch_size
    evaluator = Evaluator(
        arm.classifier.logits_fn, batch_size=min(size, len(validation))
    )

    def accuracy(params: Params) -> float:
        predicted = evaluator.logits(params, examples, images).argmax(axis=-1)
        return float(np.mean(predicted == validation.labels))

    return accuracy


def _start(arm: Arm, params: Params, earlier: Mapping[str, Params]) -> Params:
    """Where an arm starts: drawn, a released arm, or the network of another arm.

    From another arm, or one released without thresholds to learn, the network alone is
    taken; the denoiser keeps its own start.
    """
    if not arm.init_from:
        return params
    if arm.init_from in earlier:
        return {**params, "network": earlier[arm.init_from]["network"]}
    path = pathlib.Path(arm.init_from) / parameter_files.FILE
    parts = parameter_files.parts_in(path)
    taken = {name: own for name, own in params.items() if name in {*parts, "network"}}
    return {**params, **parameter_files.read_parameters(path, taken)}


def stable_hash(text: str) -> int:
    """The same number in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

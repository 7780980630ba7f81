"""The training loop: batch, step, log, validate, save."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from wbad_jax import devices, processes
from wbad_jax.training.checkpoints import Checkpoints
from wbad_jax.training.metric_log import MetricLog
from wbad_jax.training.objectives import Budgets
from wbad_jax.training.steps import TrainState
from wbad_jax.types import Batch, Key, Params

Scores = Mapping[str, float]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite."""


class StopRequestedError(RuntimeError):
    """The run was asked to stop; its state is saved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Length and rhythm of a training run, in steps.

    Attributes:
        num_steps: Updates in all.
        log_every: Metrics are fetched from the device this often.
        eval_every: Validation, and the choice of the best parameters, this often.
        checkpoint_every: Saves this often, and at the end.
        select_by: Validation score that the best parameters maximise.
        patience: Validations without a better score after which training ends; 0 for
            any number.
        collapse_drop: A score that is lower than the best by more than this ends
            training: single-step adversarial training can lose all robustness to
            stronger attacks within an epoch (Wong, Rice and Kolter 2020, section 5.4).
            None for no such end.

    Examples:
        >>> from wbad_jax.training import LoopSettings
        >>> settings = LoopSettings(num_steps=100, select_by="clean_accuracy")
        >>> settings.eval_every
        100
    """

    num_steps: int
    log_every: int = 10
    eval_every: int = 100
    checkpoint_every: int = 100
    select_by: str = "robust_accuracy"
    patience: int = 0
    collapse_drop: float | None = None

    def __post_init__(self):
        for name in ("num_steps", "log_every", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}."
                )
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, got {self.patience}.")
        if self.collapse_drop is not None and not 0 < self.collapse_drop < 1:
            raise ValueError(
                f"collapse_drop must be above 0 and below 1, got {self.collapse_drop}."
            )


def run_training(
    state: TrainState,
    *,
    train_step: Callable,
    batch_at: Callable[[int], Batch],
    validate: Callable[[Params], Scores],
    key: Key,
    budgets: Budgets,
    settings: LoopSettings,
    checkpoints: Checkpoints,
    log: MetricLog,
    stop_requested: Callable[[], bool] = lambda: False,
    before_step: Callable[[int], None] = lambda index: None,
    observe: Callable[[Params], Mapping[str, jax.Array]] = lambda params: {},
    description: str = "train",
) -> TrainState:
    """Train from `state.step` to `settings.num_steps`, or until it is of no more use.

    Everything random follows from `key`, `batch_at` and the step, so a run that was
    interrupted and resumed ends with the same parameters, bit for bit. Of several
    processes all must make the same calls, and `validate` and `stop_requested` give the
    same answers in each.

    Args:
        state: Initial or restored; donated.
        train_step: From `make_train_step`.
        batch_at: The batch of a step, a pure function of the step.
        validate: From parameters to scores; must hold `settings.select_by`.
        key: Base key; the step is folded in.
        budgets: Radius per norm.
        settings: Length and rhythm.
        checkpoints: Where to save.
        log: Where to write metrics.
        stop_requested: Polled after every step.
        before_step: Called with the number of steps done, before each.
        observe: From parameters to further metrics, scalars on the device; called
            every `log_every` steps and after step `num_steps`.
        description: Label of the progress bar.

    Returns:
        The final state; `stopped` is true if training ended early by `patience` or
        `collapse_drop`.

    Raises:
        NonFiniteLossError: Naming the step and the last good checkpoint.
        StopRequestedError: After saving, when `stop_requested` says so.

    Examples:
        >>> import pathlib, tempfile
        >>> import jax, jax.numpy as jnp, optax
        >>> from wbad_jax import training
        >>> from wbad_jax.types import Batch
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> objective = training.mixture(logits_fn_of, {}, {"clean": 1.0})
        >>> optimizer = optax.sgd(0.1)
        >>> batch = Batch(jnp.ones((2, 4, 4, 1)), jnp.array([1, 1]), jnp.ones(2))
        >>> rhythm = dict(num_steps=4, eval_every=2, checkpoint_every=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with (
        ...         training.Checkpoints(folder) as checkpoints,
        ...         training.MetricLog(pathlib.Path(folder), "mine") as log,
        ...     ):
        ...         state = training.run_training(
        ...             training.init_state({"w": jnp.zeros((1, 2))}, optimizer),
        ...             train_step=training.make_train_step(objective, optimizer),
        ...             batch_at=lambda step: batch,
        ...             validate=lambda params: {"score": float(params["w"][0, 1])},
        ...             key=jax.random.key(0), budgets={},
        ...             checkpoints=checkpoints, log=log,
        ...             settings=training.LoopSettings(select_by="score", **rhythm),
        ...         )
        >>> int(state.step), int(state.best_step)
        (4, 4)
    """
    first = int(state.step)
    if state.stopped:
        return state
    pending: list[tuple[int, dict]] = []
    bar = tqdm(range(first, settings.num_steps), desc=description, initial=first,
               total=settings.num_steps, mininterval=1.0,
               disable=not processes.is_first())  # fmt: skip
    for index in bar:
        before_step(index)
        state, metrics = train_step(state, batch_at(index), key, budgets)
        step = index + 1
        last = step == settings.num_steps
        if last or step % settings.log_every == 0:
            # Not where else metrics are fetched: an interruption would add lines.
            metrics = {**metrics, **observe(state.params)}
        pending.append((step, metrics))

        stopping = stop_requested()
        saving = last or stopping or step % settings.checkpoint_every == 0
        evaluating = last or step % settings.eval_every == 0
        if saving or evaluating or step % settings.log_every == 0:
            latest = _flush(pending, log, checkpoints)
            bar.set_postfix(loss=f"{latest['loss']:.3f}", refresh=False)
        if evaluating:
            scores = validate(state.ema_params)
            log.write(step, {f"validation_{k}": v for k, v in scores.items()})
            score = float(scores[settings.select_by])
            state = _keep_best(state, score)
            if not last and (reason := _reason_to_end(state, score, settings)):
                tqdm.write(f"{description}: ended at step {step}, since {reason}.")
                state = state._replace(stopped=_like(state.stopped, True))
                last = saving = True
        if saving:
            checkpoints.save(step, state)
        if stopping and not last:
            checkpoints.wait()
            raise StopRequestedError(
                f"{description}: stopped and saved at step {step}."
            )
        if last:
            break
    checkpoints.wait()
    return state


def _flush(pending: list, log: MetricLog, checkpoints: Checkpoints) -> dict:
    """Fetch and write buffered metrics; stop at the first loss that is not finite."""
    latest: dict = {}
    for step, metrics in jax.device_get(pending):
        latest = {name: float(value) for name, value in metrics.items()}
        bad = [k for k in ("loss", "gradient_norm") if not math.isfinite(latest[k])]
        if bad:
            good = checkpoints.latest_step()
            where = f"{checkpoints.directory}/{good}" if good is not None else "none"
            raise NonFiniteLossError(
                f"{bad[0]} is {latest[bad[0]]} at step {step}. Last good checkpoint: "
                f"{where}. A lower learning rate or epsilon often helps."
            )
        log.write(step, latest)
    pending.clear()
    return latest


def _keep_best(state: TrainState, score: float) -> TrainState:
    # Rounded like the score it is compared with, or equal ones would differ.
    rounded = np.float32(score)
    # The later of two equal ones: its averaged parameters have seen more steps. A score
    # that is NaN never wins.
    if not rounded >= float(state.best_score):
        return state
    return state._replace(
        best_params=jax.tree.map(jnp.copy, state.ema_params),
        best_score=_like(state.best_score, score),
        best_step=jnp.copy(state.step),
    )


def _like(array: jax.Array, value: float) -> jax.Array:
    """A new value of an array's type and place; another place would recompile."""
    return devices.put(np.asarray(value, array.dtype), array.sharding)


def _reason_to_end(
    state: TrainState, score: float, settings: LoopSettings
) -> str | None:
    """Why training should end before its last step, if it should."""
    name, best = settings.select_by, float(state.best_score)
    if settings.collapse_drop is not None and best - score > settings.collapse_drop:
        return f"{name} collapsed from {best:.3f} to {score:.3f}"
    waited = (int(state.step) - int(state.best_step)) // settings.eval_every
    if settings.patience and waited >= settings.patience:
        return f"{name} has not been better for {waited} validations"
    return None

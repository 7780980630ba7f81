"""The loop: interrupted or not, a run ends the same; and it stops when it should."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wbad_jax import attacks, devices, training
from wbad_jax.types import Batch

SETTINGS = training.LoopSettings(
    num_steps=12, log_every=5, eval_every=3, checkpoint_every=4
)
BUDGETS = {"linf": 0.2}
OPTIMIZER = optax.adam(0.1)


@dataclasses.dataclass(frozen=True)
class Noise:
    norm: str = "linf"

    def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
        images = images + epsilon * jax.random.normal(key, images.shape)
        zeros = jnp.zeros(labels.shape)
        return attacks.AttackResult(images, zeros > 0, zeros, zeros)


def logits_fn_of(params):
    return lambda x: x.reshape(x.shape[0], -1) @ params["kernel"]


# One for the module: each call of `make_train_step` compiles anew.
STEP = training.make_train_step(
    training.mixture(logits_fn_of, {"noise": Noise()}, {"clean": 1, "noise": 1}),
    OPTIMIZER,
    epsilon_share=training.epsilon_ramp(6),
)


def initial_state():
    kernel = jnp.asarray(np.random.default_rng(9).normal(size=(4, 2)), jnp.float32)
    return jax.jit(lambda k: training.init_state({"kernel": k}, OPTIMIZER))(kernel)


def batch_at(index):
    rng = np.random.default_rng(index)
    images = rng.uniform(size=(6, 2, 2, 1)).astype(np.float32)
    labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(np.int32)
    return Batch(images, labels, np.ones(6, np.float32))


def validate(params):
    """Some score that rises and falls during the run."""
    return {"robust_accuracy": float(np.abs(np.sin(40 * params["kernel"][0, 0])))}


def run(workdir, state=None, **changes):
    """One process: restore if there is a checkpoint, then train."""
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        state = initial_state() if state is None else state
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(state)
        with training.MetricLog(workdir, "arm", int(state.step)) as log:
            arguments = {
                "train_step": STEP,
                "batch_at": batch_at,
                "validate": validate,
                "key": jax.random.key(3),
                "budgets": BUDGETS,
                "settings": SETTINGS,
                "checkpoints": checkpoints,
                "log": log,
                "observe": lambda params: {"corner": params["kernel"][0, 0]},
            }
            return training.run_training(state, **arguments | changes)


def assert_same(actual, expected):
    for got, want in zip(
        jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    ):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return run(workdir), training.read_metrics(workdir / "metrics.jsonl")


def test_every_step_is_logged_once(uninterrupted):
    state, lines = uninterrupted
    assert int(state.step) == 12
    trained = [line["step"] for line in lines if "loss" in line]
    assert trained == list(range(1, 13))
    validated = [line["step"] for line in lines if "validation_robust_accuracy" in line]
    assert validated == [3, 6, 9, 12]
    assert {"accuracy_clean", "accuracy_noise", "gradient_norm"} <= lines[0].keys()
    # What is observed, every five steps and at the end, is of the step it stands at.
    assert [line["step"] for line in lines if "corner" in line] == [5, 10, 12]
    (last,) = (line for line in lines if line["step"] == 12 and "corner" in line)
    assert last["corner"] == float(state.params["kernel"][0, 0])


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(
    stop, tmp_path, uninterrupted
):
    polls = iter(range(1, 100))
    message = f"arm: stopped and saved at step {stop}"
    with pytest.raises(training.StopRequestedError, match=message):
        run(tmp_path, stop_requested=lambda: next(polls) == stop, description="arm")
    final, lines = uninterrupted
    assert_same(run(tmp_path), final)
    assert training.read_metrics(tmp_path / "metrics.jsonl") == lines


def test_a_killed_and_resumed_run_ends_with_the_same_bits(tmp_path, uninterrupted):
    """Killed between checkpoints: steps 5 and 6 are done twice, and logged once."""

    def power_cut(index):
        if index == 6:
            raise KeyboardInterrupt
        return batch_at(index)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, batch_at=power_cut)
    final, lines = uninterrupted
    assert_same(run(tmp_path), final)
    assert training.read_metrics(tmp_path / "metrics.jsonl") == lines


def test_a_stop_in_the_last_step_is_no_interruption(tmp_path, uninterrupted):
    polls = iter(range(1, 100))
    state = run(tmp_path, stop_requested=lambda: next(polls) == 12)
    assert_same(state, uninterrupted[0])


def test_a_finished_run_is_not_trained_further(tmp_path, uninterrupted):
    run(tmp_path)
    assert_same(run(tmp_path, batch_at=None), uninterrupted[0])


@pytest.mark.parametrize(
    ("log_every", "bad", "good"), [(1, 6, 4), (12, 7, 4), (1, 2, None)]
)
def test_a_loss_that_is_not_finite_stops_the_run(log_every, bad, good, tmp_path):
    """The first bad step is named, however late the metrics are fetched."""

    def poisoned(index):
        batch = batch_at(index)
        if index == bad - 1:
            batch.images[0] = np.nan
        return batch

    settings = dataclasses.replace(SETTINGS, log_every=log_every, eval_every=12)
    with pytest.raises(training.NonFiniteLossError) as error:
        run(tmp_path, batch_at=poisoned, settings=settings)
    directory = tmp_path / "checkpoints"
    where = f"{directory}/{good}" if good else "none"
    assert f"loss is nan at step {bad}. " in str(error.value)
    assert f"Last good checkpoint: {where}. " in str(error.value)
    with training.Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == good
        if good:
            restored = checkpoints.restore(initial_state())
            assert np.all(np.isfinite(restored.params["kernel"]))


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([0.2, 0.8, 0.5, 0.1], 6),
        ([0.2, 0.8, 0.5, 0.8], 12),  # Of two equal ones the later.
        ([0.9, 0.8, 0.5, 0.1], 3),
        ([0.0, float("nan"), 0.0, float("nan")], 9),
    ],
)
def test_best_parameters_follow_the_score(scores, best, tmp_path):
    seen, left = {}, iter(scores)

    def scripted(params):
        seen[3 * len(seen) + 3] = np.array(params["kernel"])
        return {"robust_accuracy": next(left)}

    state = run(tmp_path, validate=scripted)
    assert int(state.best_step) == best
    assert float(state.best_score) == pytest.approx(scores[best // 3 - 1])
    np.testing.assert_array_equal(state.best_params["kernel"], seen[best])
    assert len({kernel.tobytes() for kernel in seen.values()}) == 4


def scored(scores):
    """A validation that gives these scores in turn."""
    remaining = iter(scores)
    return lambda params: {"robust_accuracy": next(remaining)}


@pytest.mark.parametrize(
    ("ending", "scores", "last", "best"),
    [
        ({"patience": 2}, [0.3, 0.5, 0.4, 0.4], 12, 6),
        ({"patience": 1}, [0.3, 0.5, 0.4, 0.4], 9, 6),
        ({"collapse_drop": 0.2}, [0.5, 0.6, 0.35, 0.9], 9, 6),
        ({"collapse_drop": 0.3}, [0.5, 0.6, 0.35, 0.9], 12, 12),
        ({}, [0.9, 0.1, 0.1, 0.1], 12, 3),
    ],
)
def test_training_ends_early_and_stays_ended(ending, scores, last, best, tmp_path):
    settings = dataclasses.replace(SETTINGS, **ending)
    state = run(tmp_path, settings=settings, validate=scored(scores))
    assert (int(state.step), int(state.best_step)) == (last, best)
    assert bool(state.stopped) == (last < 12)
    again = run(tmp_path, settings=settings, validate=scored([]))
    assert_same(again, state)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ({"patience": -1}, "patience must be at least 0, got -1"),
        ({"collapse_drop": 1.5}, "collapse_drop must be above 0 and below 1, got 1.5"),
    ],
)
def test_impossible_endings_are_refused(ending, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **ending)


def test_validation_does_not_make_the_next_step_compile_again(tmp_path):
    mesh = devices.data_mesh()
    before = STEP._cache_size()
    run(tmp_path, devices.replicate(initial_state(), mesh), validate=scored([0.5] * 4))
    assert STEP._cache_size() <= before + 1


@pytest.mark.parametrize(
    "field", ["num_steps", "log_every", "eval_every", "checkpoint_every"]
)
def test_settings_below_one_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be at least 1, got 0"):
        training.LoopSettings(**{"num_steps": 10} | {field: 0})

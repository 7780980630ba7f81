"""Two processes share batches, checkpoints and decisions."""

import json
import textwrap

import jax
import numpy as np
import pytest

from tests import pairs

SCRIPT = textwrap.dedent("""
    import json
    import os
    import pathlib
    import signal
    import sys
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from experiments import stopping
    from wbad_jax import devices, processes, training

    address, own, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(address, 2, own)
    said = {}


    def message(action):
        try:
            return action()
        except Exception as error:
            return f"{type(error).__name__}: {error}"


    mesh = devices.data_mesh()
    shared = devices.split(np.arange(24).reshape(8, 3), mesh)
    said["rows"] = sorted(int(s.data[0, 0]) // 3 for s in shared.addressable_shards)
    said["gathered"] = devices.gather(2 * shared).tolist()
    keys = devices.split(jax.random.split(jax.random.key(0), 4), mesh)
    draw = jax.jit(jax.vmap(lambda key: jax.random.randint(key, (), 0, 1000)))
    said["draws"] = devices.gather(draw(keys)).tolist()
    fewer = devices.replicate(np.arange(3), devices.data_mesh(2))
    said["moved"] = np.asarray(devices.replicate(fewer, mesh)).tolist()
    said["meshes"] = {
        size: sorted(d.process_index for d in devices.data_mesh(size).devices.flat)
        for size in (8, 6)
    }
    said["odd"] = message(lambda: devices.data_mesh(7))

    said["as_first"] = processes.as_first(own == 0)
    said["all_agree"] = processes.all_agree(own == 0), processes.all_agree(True)
    said["all_equal"] = processes.all_equal(str(own)), processes.all_equal("same")
    said["on_first"] = processes.on_first(lambda: own + 5)
    said["failed"] = message(lambda: processes.on_first(lambda: open("/nowhere/at")))

    # A checkpoint that one process cannot read.
    whole = devices.replicate({"x": np.ones(5, np.float32)}, mesh)
    with training.Checkpoints(folder / "damaged") as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, jax.tree.map(lambda x: x * step, whole))
        checkpoints.wait()
        read = checkpoints._read

        def read_unless_damaged(step, like):
            if (step, own) == (2, 1):
                raise OSError("unreadable")
            return read(step, like)

        checkpoints._read = read_unless_damaged
        x = checkpoints.restore(whole)["x"]
        said["restored"] = np.asarray(x).tolist(), len(x.sharding.device_set)
        said["latest"] = checkpoints.latest_step()
    said["damaged"] = sorted(os.listdir(folder / "damaged"))

    # A signal to one of them, in the second of two trainings.
    stop_requested = stopping.stop_request()


    def train_step(state, batch, key, budgets):
        time.sleep(0.01 * (own + 1))
        metrics = {"loss": 1.0, "gradient_norm": 1.0}
        return state._replace(step=state.step + 1), metrics


    def run(name, num_steps, before_step):
        state = training.init_state(jnp.zeros(2), optax.sgd(1.0))
        with (
            training.Checkpoints(folder / name) as checkpoints,
            training.MetricLog(folder / name, "run") as log,
        ):
            training.run_training(
                devices.replicate(state, mesh), train_step=train_step,
                batch_at=lambda step: None, validate=lambda params: {"score": 0.0},
                key=None, budgets={}, checkpoints=checkpoints, log=log,
                settings=training.LoopSettings(
                    num_steps=num_steps, checkpoint_every=2, eval_every=num_steps,
                    select_by="score",
                ),
                stop_requested=stop_requested, before_step=before_step,
            )


    def send(step):
        if (step, own) == (4, 1):
            os.kill(os.getpid(), signal.SIGTERM)


    run("first", 20, lambda step: None)
    said["stopped"] = message(lambda: run("second", 5000, send))
    said["saved"] = max(int(n) for n in os.listdir(folder / "second") if n.isdigit())
    print(json.dumps(said), flush=True)
""")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each of two processes found, by name."""
    outputs = pairs.run_script(SCRIPT, str(tmp_path_factory.mktemp("processes")))
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def in_both(said, name):
    """A finding that must be the same in both."""
    first, second = (found[name] for found in said)
    assert first == second
    return first


def test_each_holds_its_rows_and_both_get_the_whole(said):
    assert [found["rows"] for found in said] == [[0, 2], [4, 6]]
    want = 2 * np.arange(24).reshape(8, 3)
    np.testing.assert_array_equal(in_both(said, "gathered"), want)
    assert in_both(said, "moved") == [0, 1, 2]


def test_keys_are_split_like_arrays(said):
    draw = jax.vmap(lambda key: jax.random.randint(key, (), 0, 1000))
    want = draw(jax.random.split(jax.random.key(0), 4))
    np.testing.assert_array_equal(in_both(said, "draws"), want)


def test_each_has_as_many_devices_of_a_mesh(said):
    assert in_both(said, "meshes") == {"8": [0, 0, 1, 1], "6": [0, 1]}
    message = "ValueError: batch_size must be a multiple of 2, the number of processes"
    assert in_both(said, "odd").startswith(message)


def test_they_come_to_the_same_decisions(said):
    assert in_both(said, "as_first") is True
    assert in_both(said, "all_agree") == [False, True]
    assert in_both(said, "all_equal") == [False, True]


def test_process_0_acts_and_the_others_hear_of_its_failure(said):
    assert [found["on_first"] for found in said] == [5, None]
    assert said[0]["failed"].startswith("FileNotFoundError: ")
    assert said[1]["failed"].startswith("FirstProcessError: Process 0 failed: ")
    assert "/nowhere/at" in said[1]["failed"]


def test_what_one_cannot_read_all_set_aside(said):
    assert in_both(said, "restored") == [[1.0] * 5, 4]
    assert in_both(said, "latest") == 1
    assert {"1", "damaged-2"} <= set(in_both(said, "damaged"))


def test_a_signal_to_one_stops_both_at_the_same_step(said):
    stopped, saved = in_both(said, "stopped"), in_both(said, "saved")
    assert f"stopped and saved at step {saved}" in stopped
    assert saved > 4

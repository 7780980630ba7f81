"""One device or many: the same numbers, and nothing compiled twice."""

import os
import subprocess
import sys
import textwrap
import types

import jax
import numpy as np
import pytest

from tests import pairs
from wbad_jax import devices

SCRIPT = textwrap.dedent("""
    import pathlib
    import sys

    import jax
    import numpy as np
    import optax

    from wbad_jax import attacks, devices, evaluation, models, training
    from wbad_jax.types import Batch

    *address, count, name, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    jax.config.update("jax_num_cpu_devices", int(count))
    if address:
        jax.distributed.initialize(address[0], 2, int(address[1]))
    mesh = devices.data_mesh()
    settings = models.ModelSettings(image_shape=(16, 16, 1), widths=(8,), level=1)
    classifier = models.Classifier(settings)
    params = classifier.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    images = rng.uniform(0.3, 0.7, (10, 16, 16, 1)).astype(np.float32)
    labels = rng.integers(2, size=10).astype(np.int32)

    chosen = attacks.APGD(num_steps=5), attacks.Square(num_queries=20)
    suite = attacks.CompiledSuite(
        classifier.apply,
        attacks.AutoAttack(attacks=tuple(zip(("apgd", "square"), chosen))),
        batch_size=3,
    )
    broken = suite(
        params, jax.random.key(1), images, labels, epsilon=0.01, progress=False
    )
    examples = evaluation.Examples(
        images=images, labels=labels, example_ids=np.arange(10).astype(str),
        patient_ids=np.arange(10),
    )
    attacked = evaluation.Evaluator(classifier.logits_fn, batch_size=3).attack(
        attacks.PGD(num_steps=3), params, examples, jax.random.key(2), 0.01
    )

    votes = evaluation.SmoothedEvaluator(
        classifier.logits_fn, batch_size=3, noise_batch=4
    ).votes(params, examples, jax.random.key(4), 0.1, 30)

    optimizer = optax.sgd(0.05)
    whole = Batch(images[:8], labels[:8], np.ones(8, np.float32))


    def train(weights, num_steps):
        objective = training.mixture(
            classifier.logits_fn, {"pgd": attacks.PGD(num_steps=2)}, weights
        )
        train_step = training.make_train_step(objective, optimizer)
        state = training.init_state(jax.tree.map(jax.numpy.copy, params), optimizer)
        state = devices.replicate(state, mesh)
        for _ in range(num_steps):
            batch = devices.split(whole, mesh)
            state, _ = train_step(state, batch, jax.random.key(3), {"linf": 0.01})
        assert train_step._cache_size() == 1, train_step._cache_size()
        kernel = jax.tree.leaves(state.params)[-1]
        assert len(kernel.sharding.device_set) == mesh.size == jax.device_count()
        return state


    def flat(state):
        leaves = jax.tree.leaves(state.params)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])


    standard, robust = train({"clean": 1.0}, 50), train({"pgd": 1.0}, 5)
    # Checkpoints of however many devices and processes, restored on these.
    with training.Checkpoints(folder / name) as checkpoints:
        checkpoints.save(50, standard)
    restored = {}
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        with training.Checkpoints(directory) as checkpoints:
            state = checkpoints.restore(standard)
            assert jax.tree.leaves(state)[0].sharding.mesh == mesh
            restored[f"restored {directory.name}"] = flat(state)
    np.savez(
        folder / f"{name} {jax.process_index()}.npz",
        devices=mesh.size, margin=broken.margin, logits=attacked.logits, votes=votes,
        standard=flat(standard), robust=flat(robust), **restored,
    )
""")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The numbers on 8 devices of one process or of two, and on one device."""
    folder = tmp_path_factory.mktemp("devices")
    run_alone("8", "8 devices", str(folder))
    pairs.run_script(SCRIPT, "4", "2 processes", str(folder))
    run_alone("1", "1 device", str(folder))
    found = {path.stem: np.load(path) for path in folder.glob("*.npz")}
    assert {name: int(run["devices"]) for name, run in found.items()} == {
        "8 devices 0": 8,
        "2 processes 0": 8,
        "2 processes 1": 8,
        "1 device 0": 1,
    }
    return found


def run_alone(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("other", ["1 device 0", "2 processes 0"])
@pytest.mark.parametrize(
    ("name", "rtol", "atol"),
    [
        # Of some sums in another order. Steps along signs make more of a rounding.
        ("standard", 1e-5, 1e-6),
        ("robust", 1e-4, 1e-5),
        ("margin", 1e-3, 1e-4),
        ("logits", 1e-3, 1e-4),
        ("votes", 0, 1),  # one may lie on the boundary
    ],
)
def test_the_same_on_any_devices(name, rtol, atol, other, runs):
    want = runs["8 devices 0"][name]
    np.testing.assert_allclose(runs[other][name], want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["standard", "robust", "margin", "logits", "votes"])
def test_both_processes_end_with_the_same_bits(name, runs):
    first, second = (runs[f"2 processes {number}"][name] for number in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("saved", "restored"),
    [
        ("8 devices", "1 device 0"),
        ("8 devices", "2 processes 0"),
        ("8 devices", "2 processes 1"),
        ("2 processes", "1 device 0"),
    ],
)
def test_a_checkpoint_is_restored_on_other_devices(saved, restored, runs):
    got = runs[restored][f"restored {saved}"]
    np.testing.assert_array_equal(got, runs[f"{saved} 0"]["standard"])


EXCHANGES = textwrap.dedent("""
    import jax
    import numpy as np
    import optax

    from wbad_jax import denoise, devices, models, training
    from wbad_jax.types import Batch

    jax.config.update("jax_num_cpu_devices", 2)
    mesh = devices.data_mesh()
    settings = models.ModelSettings(image_shape=(16, 16, 1), widths=(8, 32), level=1)
    optimizer = optax.sgd(0.1)
    classifier = models.Classifier(settings, denoise.DenoiserSettings(level=1))
    objective = training.mixture(classifier.logits_fn, {}, {"clean": 1.0})
    train_step = training.make_train_step(objective, optimizer)
    state = training.init_state(classifier.init(jax.random.key(0)), optimizer)
    batch = Batch(
        np.zeros((8, 16, 16, 1), np.float32), np.zeros(8, np.int32), np.ones(8)
    )
    state, batch = devices.replicate(state, mesh), devices.split(batch, mesh)
    program = train_step.lower(state, batch, jax.random.key(1), {}).compile().as_text()
    print(program.count(" all-reduce("))
""")


def test_gradients_of_all_parameters_are_exchanged_at_once():
    """Exchanges that may run in any order can wait for each other forever on CPU."""
    done = subprocess.run(
        [sys.executable, "-c", EXCHANGES], check=True, capture_output=True, text=True
    )
    # The sum of the weights, which the loss is divided by, and the gradients.
    assert 1 <= int(done.stdout) <= 2


def test_a_core_is_a_device():
    script = (
        "import jax; from wbad_jax import devices; devices.use_all_cores();"
        "print(jax.config.jax_num_cpu_devices, jax.device_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    cores = min(len(os.sched_getaffinity(0)), 16)
    assert done.stdout.split() == [str(cores)] * 2


def test_a_number_of_devices_chosen_before_stays(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    before = jax.config.jax_num_cpu_devices
    devices.use_all_cores()
    assert jax.config.jax_num_cpu_devices == before


def test_batches_that_may_not_grow_use_fewer_devices(monkeypatch):
    fake = [types.SimpleNamespace(process_index=0) for _ in range(6)]
    made = {}
    monkeypatch.setattr(jax, "devices", lambda: fake)
    monkeypatch.setattr(
        jax, "make_mesh", lambda *_, devices, **__: made.update(devices=devices)
    )
    for size, used in ((12, 6), (8, 4), (7, 1), (None, 6)):
        devices.data_mesh(size)
        assert made["devices"] == fake[:used]


def test_round_up():
    mesh = devices.data_mesh()
    assert devices.round_up(5, mesh) == 5
    assert devices.round_up(5, type("Mesh", (), {"size": 4})()) == 8

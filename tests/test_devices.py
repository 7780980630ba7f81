"""One device or many: the same numbers, and nothing compiled twice."""

import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from wbad_jax import devices

SCRIPT = textwrap.dedent("""
    import sys

    import jax
    import numpy as np
    import optax

    from wbad_jax import attacks, devices, evaluation, models, training
    from wbad_jax.types import Batch

    jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
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
    # A checkpoint of however many devices, restored on these.
    with training.Checkpoints(sys.argv[3]) as checkpoints:
        if checkpoints.latest_step() is None:
            checkpoints.save(50, standard)
            checkpoints.wait()
        restored = checkpoints.restore(standard)
    np.savez(
        sys.argv[2], devices=mesh.size, margin=broken.margin, logits=attacked.logits,
        standard=flat(standard), robust=flat(robust), restored=flat(restored),
    )
""")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The numbers on 8 devices, and on one, by the number of devices."""
    folder = tmp_path_factory.mktemp("devices")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = {}
    for count in (8, 1):
        path = folder / f"{count}.npz"
        command = [sys.executable, "-c", SCRIPT]
        command += [str(count), str(path), str(folder / "checkpoints")]
        done = subprocess.run(
            command, timeout=600, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 0, done.stderr
        found[count] = np.load(path)
        assert found[count]["devices"] == count
    return found


@pytest.mark.parametrize(
    ("name", "rtol", "atol"),
    [
        # Of some sums in another order. Steps along signs make more of a rounding.
        ("standard", 1e-5, 1e-6),
        ("robust", 1e-4, 1e-5),
        ("margin", 1e-3, 1e-4),
        ("logits", 1e-3, 1e-4),
    ],
)
def test_the_same_on_many_devices(name, rtol, atol, runs):
    np.testing.assert_allclose(runs[8][name], runs[1][name], rtol=rtol, atol=atol)


def test_a_checkpoint_of_eight_devices_is_restored_on_one(runs):
    np.testing.assert_array_equal(runs[1]["restored"], runs[8]["standard"])


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
    fake = list(range(6))
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

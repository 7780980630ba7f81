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

    objective = training.mixture(
        classifier.logits_fn, {"pgd": attacks.PGD(num_steps=2)}, {"pgd": 1.0}
    )
    optimizer = optax.sgd(0.1)
    train_step = training.make_train_step(objective, optimizer)
    state = devices.replicate(training.init_state(params, optimizer), mesh)
    whole = Batch(images[:8], labels[:8], np.ones(8, np.float32))
    for _ in range(3):
        batch = devices.split(whole, mesh)
        state, _ = train_step(state, batch, jax.random.key(3), {"linf": 0.01})
    assert train_step._cache_size() == 1, train_step._cache_size()

    kernel = jax.tree.leaves(state.params)[-1]
    assert len(kernel.sharding.device_set) == mesh.size == jax.device_count()
    trained = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
    np.savez(
        sys.argv[2], devices=mesh.size, margin=broken.margin, logits=attacked.logits,
        trained=trained,
    )
""")


def run_on(count, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(count), str(path)]
    subprocess.run(command, check=True, timeout=600, env=environment)
    return np.load(path)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    return run_on(1, tmp_path_factory.mktemp("devices") / "one.npz")


@pytest.mark.parametrize("count", [4])
def test_the_same_on_many_devices(count, on_one, tmp_path):
    many = run_on(count, tmp_path / "many.npz")
    assert many["devices"] == count
    for name in ("margin", "logits", "trained"):
        np.testing.assert_allclose(many[name], on_one[name], rtol=1e-3, atol=1e-4)


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

"""Batches sharded over devices are transformed where they are.

The transforms of `test_transform_calculus` in further forms.
"""

import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
SCRIPT = """
import jax, numpy as np
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from wbad_jax import wavelets

mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
spec = PartitionSpec("data")

def losses(x):
    approx, *details = wavelets.{decompose}
    details = jax.tree.map(jnp.tanh, details)
    images = wavelets.{reconstruct}([approx, *details], "db2")
    return jnp.sum(images**2, axis=(1, 2, 3))

for channels in (1, 3):
    x = np.random.default_rng(0).normal(size=(8, 16, 20, channels)).astype("float32")
    sharded = jax.device_put(x, NamedSharding(mesh, spec))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(losses(x))))
    expected, actual = gradient(x), gradient(sharded)
    assert actual.sharding.is_equivalent_to(sharded.sharding, 4), actual.sharding
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    program = gradient.lower(sharded).compile().as_text()
    for moved in ("all-gather", "all-to-all", "collective-permute"):
        assert moved not in program, moved
"""


@pytest.mark.parametrize(
    ("decompose", "reconstruct"),
    [
        ('wavedec2(x, "db2", level=1, backend="matmul")', "waverec2"),
        ('swt2(x, "db2", 1, trim_approx=True)', "iswt2"),
    ],
)
def test_a_sharded_batch_stays_sharded(decompose, reconstruct):
    script = SCRIPT.format(decompose=decompose, reconstruct=reconstruct)
    flags = "--xla_force_host_platform_device_count=4"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]

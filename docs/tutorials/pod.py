# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Run on a pod
#
# A pod, a cluster and a laptop run the same code: batches are split over all devices,
# and the compiler adds the communication. You can try it without a pod, since the cores
# of a CPU can be devices. What was run for this page ran on CPU; on TPU and GPU nothing
# here has been measured.
#
# Research software only, not a diagnostic device.

# %%
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))

import jax

from wbad_jax import devices

# Before the first array. On a TPU or GPU leave this out: devices are there already.
jax.config.update("jax_num_cpu_devices", 4)
print(jax.devices())

# %% [markdown]
# ## One step, on one device and on four
#
# `data_mesh` is a mesh of one axis, "data". Put the parameters on every device, split
# the batch, and call the same jitted step: nothing else changes.

# %%
import jax.numpy as jnp
import numpy as np
import optax

from wbad_jax import attacks, denoise, models, training
from wbad_jax.types import Batch

classifier = models.Classifier(
    models.ModelSettings(image_shape=(32, 32, 1), widths=(8, 16), level=1),
    denoise.DenoiserSettings(wavelet="haar", level=1),
)
objective = training.mixture(
    classifier.logits_fn, {"pgd": attacks.PGD(num_steps=2)}, {"clean": 1.0, "pgd": 1.0}
)
optimizer = optax.sgd(0.1)
step = training.make_train_step(objective, optimizer)
rng = np.random.default_rng(0)
batch = Batch(
    rng.uniform(size=(16, 32, 32, 1)).astype(np.float32),
    rng.integers(2, size=16).astype(np.int32),
    np.ones(16, np.float32),
)


def train_on(mesh):
    # Drawn here: the step takes over the memory of the state that it is given.
    params = jax.jit(classifier.init)(jax.random.key(0))
    state = devices.replicate(training.init_state(params, optimizer), mesh)
    for number in range(3):
        state, metrics = step(
            state, devices.split(batch, mesh), jax.random.key(number), {"linf": 0.01}
        )
    return devices.gather(state.params), float(metrics["loss"])


def mesh_of(count):
    return jax.make_mesh(
        (count,), (devices.AXIS,), axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:count],
    )  # fmt: skip


one, loss_of_one = train_on(mesh_of(1))
four, loss_of_four = train_on(devices.data_mesh())
differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), one, four)
print(f"loss on one device {loss_of_one:.6f}, on four {loss_of_four:.6f}")
print(f"largest difference of a parameter: {max(jax.tree.leaves(differences)):.1e}")

# %% [markdown]
# ## Several hosts
#
# Every host runs the same command. On a TPU pod, under SLURM and under Open MPI,
# `--distributed=auto` finds the others:
#
#     gcloud compute tpus tpu-vm ssh NAME --worker=all --command="cd wbad_jax && \
#         python -m experiments.train --config=configs/wbad.py \
#         --workdir=SHARED/wbad --distributed=auto"
#
#     srun --ntasks=4 --cpus-per-task=8 \
#         python -m experiments.train --config=configs/wbad.py \
#         --workdir=SHARED/wbad --distributed=auto
#
# `SHARED` is a folder that all hosts see. Elsewhere name the address of the first
# process, how many there are, and which this is. Here two processes on this machine:

# %%
work = pathlib.Path(tempfile.mkdtemp(prefix="pod-"))
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{probe.getsockname()[1]}"

arguments = [
    "--config=configs/quickstart.py:smoke",
    f"--workdir={work / 'run'}",
    f"--config.data.data_dir={work / 'data'}",
    "--config.arms=('undefended',)",
    "--config.evaluation.attacks=('fgsm',)",
    "--config.report=False",
]
if not SMOKE:
    arguments += ["--config.arm.undefended.num_steps=20"]
started = [
    subprocess.Popen(
        [sys.executable, "-m", "experiments.train", *arguments,
         f"--distributed={address},2,{number}"],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    for number in range(2)
]  # fmt: skip
for number, process in enumerate(started):
    said, errors = process.communicate(timeout=1200)
    print(f"--- process {number}, exit status {process.returncode}")
    print(said.replace(str(work), "WORK"))
    if process.returncode:
        raise RuntimeError(errors)

# %%
meta = json.loads((work / "run" / "results.json").read_text())["meta"]
print("processes:", meta["processes"], "devices:", meta["device"])

# %% [markdown]
# The first process writes and speaks, the second is silent. A signal to any of them
# stops all after the same step, and the same commands go on, also on another number of
# hosts.
#
# ## Before you start a long run
#
# - `training.batch_size` is that of all hosts together, and a multiple of their number.
# - Try `:smoke` on one host, then on two.
# - `training.data_on_device="never"` for sets larger than a memory; `training.remat`
#   and `training.accumulation_steps` where a batch does not fit.
# - `training.compute_dtype="bfloat16"` is made for TPU; attacks and denoiser stay in
#   float32.
#
# [Scaling](../scaling.md) sums it up, [training](../training.md#several-hosts) has the
# details.

"""The folder of a run that is finished but for its training: cheap, and random."""

import pathlib

import jax
import jax.numpy as jnp

from configs import quickstart
from experiments import cohort, settings
from experiments.run_folder import record_config
from wbad_jax import training


def write_untrained_run(workdir: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    """Arms "undefended" and "wbad" with parameters as they were drawn."""
    config = quickstart.get_config("smoke")
    config.data.data_dir = str(data_dir)
    config.evaluation.batch_size = 8
    config.lock()
    workdir.mkdir(parents=True)
    record_config(config, workdir)
    shape = cohort.load(config).images.shape[1:]
    for number, arm in enumerate(settings.build_arms(config, shape)):
        params = jax.jit(arm.classifier.init)(jax.random.key(number))
        state = training.init_state(params, arm.optimizer)
        state = state._replace(step=jnp.int32(arm.loop.num_steps))
        with training.Checkpoints(workdir / arm.name / "checkpoints") as checkpoints:
            checkpoints.save(arm.loop.num_steps, state)
            checkpoints.wait()
    return workdir

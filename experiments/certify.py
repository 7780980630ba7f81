r"""Certify the arms of a finished run by randomised smoothing, and attack them.

    python -m experiments.certify --workdir=runs/certified
    python -m experiments.certify --workdir=runs/certified \
        --config.certificates.sigmas="(0.05, 0.1)" \
        --config.certificates.num_samples=10000

Overrides apply on top of `workdir/config.json`. Every arm is smoothed with Gaussian
noise in front of its denoiser, certified, and attacked. Writes `certificates.json` and
`certificates.parquet` into the folder, and prints a table. Interrupted, the same
command goes on; with other settings it uses nothing of before.

Networks that were trained without noise certify little: see `configs/certified.py`.
Radii are in L2. Research only: no diagnostic use.
"""

import pathlib
import shutil

from absl import flags

from configs.default import Config
from experiments import cohort, settings
from experiments.certificate_files import KeptArrays, summarise
from experiments.certify_arms import certify_arm
from experiments.command_line import prepare_jax, required, run_command
from experiments.config_checks import check_values
from experiments.evaluate import define_flags
from experiments.evaluation_parts import identify
from experiments.run_folder import locked
from experiments.stopping import StopRequest, stop_request
from experiments.train_arm import restore_arm
from wbad_jax import processes
from wbad_jax.evaluation import Examples


def certify_run(config: Config, workdir: pathlib.Path) -> None:
    """Certify the arms of a finished run.

    Args:
        config: The run's config with overrides of `certificates`.
        workdir: Folder of the run; its certificates are replaced.

    Raises:
        ConfigError: If the run is unfinished or the config asks for the impossible.
        StopRequestedError: After a SIGTERM or SIGINT; finished arms are kept.
    """
    check_values(config)
    stop = stop_request()
    kept = KeptArrays(workdir / "certificates.parts", config)
    with stop.listening(), locked(workdir):
        with stop.at_once("Stopped while reading the data."):
            dataset = cohort.load(config)
            folds = cohort.make_folds(config, dataset)
        arms = settings.build_arms(config, dataset.images.shape[1:])
        found = []
        for fold in folds:
            examples = first_examples(config, fold)
            found += _certify_fold(config, fold, arms, examples, workdir, kept, stop)
        window = dataset.window
        processes.on_first(lambda: summarise(config, found, window, workdir))
        processes.on_first(lambda: shutil.rmtree(kept.folder, ignore_errors=True))


def first_examples(config: Config, fold: cohort.Fold) -> Examples:
    """The examples to certify: the first of the set, where twins stand together."""
    every = cohort.examples_of(getattr(fold, config.certificates.set))
    return every.subset(slice(config.certificates.max_examples))


def _certify_fold(config, fold, arms, examples, workdir, kept, stop: StopRequest):
    """Every arm at every sigma: (arm, sigma, examples, arrays)."""

    def check() -> None:
        stop.check("Stopped while certifying.")

    earlier = {}
    for arm in arms:
        run = fold.run_name(arm.name)
        params = restore_arm(arm, workdir=workdir, run=run, earlier=earlier)
        earlier[arm.name] = params
        own = identify(arm, params, examples)
        for sigma in config.certificates.sigmas:
            arrays = kept.find_or_make(
                f"{run.replace('/', '-')}-{sigma:g}",
                {**own, "sigma": sigma},
                lambda: certify_arm(config, arm, params, examples, sigma, check),  # noqa: B023
            )
            yield arm.name, sigma, examples, arrays


def main(_) -> None:
    """Entry point."""
    prepare_jax(flags.FLAGS["distributed"].value)
    workdir = pathlib.Path(required("workdir"))
    certify_run(required("config"), workdir)


if __name__ == "__main__":
    run_command(main, define_flags)

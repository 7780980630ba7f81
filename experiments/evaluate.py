r"""Evaluate the arms of a finished run again, with other evaluation settings.

    python -m experiments.evaluate --workdir=runs/wbad
    python -m experiments.evaluate --workdir=runs/wbad \
        --config.evaluation.pgd.num_steps=100

Overrides apply on top of `workdir/config.json`. Writes `predictions.parquet`,
`results.json`, `results.csv` and `report.html` into the folder, and prints the table.
Interrupted, the same command goes on; with other settings it uses nothing of before.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from configs.default import Config
from experiments import cohort, settings
from experiments.command_line import prepare_jax, required, run_command
from experiments.config_checks import check_values
from experiments.distributed import define_distributed
from experiments.evaluate_arms import evaluate_fold
from experiments.evaluation_parts import Parts
from experiments.report import report_if_wanted
from experiments.results import summarise
from experiments.run_folder import default_config, load_config, locked
from experiments.settings import Arm
from experiments.stopping import stop_request
from experiments.train_arm import restore_arm
from wbad_jax import processes
from wbad_jax.types import Params


def evaluate_run(config: Config, workdir: pathlib.Path) -> None:
    """Evaluate a finished run with (possibly changed) evaluation settings.

    Args:
        config: The run's config with overrides of `evaluation` and `attack`.
        workdir: Folder of the run; its results files are replaced.

    Raises:
        ConfigError: If the run is unfinished or the config asks for the impossible.
        StopRequestedError: After a SIGTERM or SIGINT; finished parts are kept.
    """
    check_values(config)
    stop = stop_request()
    with stop.listening(), locked(workdir):
        with stop.at_once("Stopped while reading the data."):
            dataset = cohort.load(config)
            folds = cohort.make_folds(config, dataset)
        arms = settings.build_arms(config, dataset.images.shape[1:])
        trained, outcomes = [], []
        for fold in folds:
            params: dict[str, tuple[Arm, Params]] = {}
            for arm in arms:
                earlier = {name: value for name, (_, value) in params.items()}
                run = fold.run_name(arm.name)
                restored = restore_arm(arm, workdir=workdir, run=run, earlier=earlier)
                params[arm.name] = (arm, restored)
            outcomes += evaluate_fold(
                config,
                fold,
                params,
                workdir,
                parts=Parts(workdir / fold.name, config),
                stop=stop,
            )
            trained.append(params)
        processes.on_first(lambda: summarise(config, folds, trained, outcomes, workdir))
        for fold in folds:
            Parts(workdir / fold.name, config).remove()
        processes.on_first(lambda: report_if_wanted(config, workdir))


def _config_of_argv(argv: Sequence[str]) -> Config:
    """Config of the run that `--workdir` names; the defaults without one (--help)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workdir", "-workdir", type=pathlib.Path)
    workdir = parser.parse_known_args(argv)[0].workdir
    return default_config() if workdir is None else load_config(workdir)


def define_flags() -> None:
    """Flags of this command; `--config.field=value` applies to the run's config."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.")
    define_distributed()
    config_flags.DEFINE_config_dict(
        "config", _config_of_argv(sys.argv[1:]), lock_config=True
    )


def main(_) -> None:
    """Entry point."""
    prepare_jax(flags.FLAGS["distributed"].value)
    workdir = pathlib.Path(required("workdir"))
    evaluate_run(required("config"), workdir)


if __name__ == "__main__":
    run_command(main, define_flags)

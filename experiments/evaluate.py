r"""Evaluate the arms of a finished run again, with other evaluation settings.

    python -m experiments.evaluate --workdir=runs/wbad
    python -m experiments.evaluate --workdir=runs/wbad \
        --config.evaluation.pgd.num_steps=100

Overrides apply on top of `workdir/config.json`. Writes `predictions.parquet`,
`results.json`, `results.csv`, `checks.json`, `gallery-<arm>.npz` and `report.html`
there, and prints the table and the failed checks. With `--strict` all checks are run,
and a failed one is exit status 1. Interrupted, the same command goes on; with other
settings it uses nothing of before.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from configs.default import Config
from experiments import cohort, settings
from experiments.checks import demand_checks, has_failures
from experiments.command_line import FAILED, prepare_jax, required, run_command
from experiments.config_checks import check_values
from experiments.distributed import define_distributed
from experiments.evaluate_arms import evaluate_fold
from experiments.evaluation_parts import Parts
from experiments.evaluation_record import read_bracket
from experiments.gallery import write_galleries
from experiments.looks import record_look
from experiments.report import report_if_wanted
from experiments.results import summarise
from experiments.run_folder import default_config, load_config, locked
from experiments.stopping import stop_request
from experiments.train_arm import restore_arms
from wbad_jax import processes


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
        read_bracket(config, folds)  # refused now, not after hours
        arms = settings.build_arms(config, dataset.images.shape[1:])
        trained, outcomes = [], []
        processes.on_first(lambda: record_look(config, workdir))
        for fold in folds:
            params = restore_arms(arms, workdir=workdir, run_name=fold.run_name)
            outcomes += evaluate_fold(
                config,
                fold,
                params,
                workdir,
                parts=Parts(workdir / fold.name, config),
                stop=stop,
            )
            trained.append(params)
        write_galleries(config, folds[0], trained[0], outcomes, workdir, stop)
        processes.on_first(
            lambda: summarise(config, folds, trained, outcomes, workdir, stop)
        )
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
    flags.DEFINE_bool(
        "strict", False, "Exit with status 1 if a check of the evaluation fails; all "
        "checks are run unless --config.evaluation.checks says otherwise.",
    )  # fmt: skip
    define_distributed()
    config_flags.DEFINE_config_dict(
        "config", _config_of_argv(sys.argv[1:]), lock_config=True
    )


def main(_) -> None:
    """Entry point."""
    prepare_jax(flags.FLAGS["distributed"].value)
    workdir = pathlib.Path(required("workdir"))
    config, strict = required("config"), flags.FLAGS["strict"].value
    if strict:
        demand_checks(config)
    evaluate_run(config, workdir)
    if strict and processes.is_first() and has_failures(workdir):
        sys.exit(FAILED)


if __name__ == "__main__":
    run_command(main, define_flags)

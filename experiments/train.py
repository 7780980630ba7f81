r"""Train, attack and report: the main command.

    python -m experiments.train --config=configs/quickstart.py
    python -m experiments.train --config=configs/wbad.py --workdir=runs/wbad \
        --config.attack.epsilon_celsius=0.125

Any field of the config can be overridden; `CONFIG.py:smoke` is a small version.
The work folder defaults to `runs/<config name>`; the same command again resumes an
interrupted run, in training or evaluation, and does nothing to a finished one. SIGTERM
and SIGINT let it save first. Run from the repository root.
"""

import functools
import pathlib

from absl import flags

from configs.default import Config
from experiments import cohort, settings
from experiments.audit import audit_before_training
from experiments.command_line import define_config, prepare_jax, required, run_command
from experiments.config_checks import check_values
from experiments.distributed import define_distributed
from experiments.evaluate_arms import evaluate_fold
from experiments.evaluation_parts import Parts
from experiments.evaluation_record import read_bracket
from experiments.gallery import write_galleries
from experiments.graybox import Trained
from experiments.looks import record_look
from experiments.report import report_if_wanted
from experiments.results import summarise
from experiments.run_folder import check_config, locked, record_config
from experiments.stopping import stop_request
from experiments.threshold_log import draw_thresholds
from experiments.train_arm import parameters_sha256, train_arm, training_mesh
from wbad_jax import evaluation, processes
from wbad_jax.evaluation import Outcome


def train_and_evaluate(
    config: Config, workdir: pathlib.Path, *, profile: bool = False
) -> None:
    """Run an experiment: data, arms in order, evaluation, results.

    Args:
        config: The experiment.
        workdir: Folder of the run; created, resumed, or found finished.
        profile: Whether to trace a few steps of each arm, into `workdir/profile`.

    Raises:
        ConfigError: If the config cannot work, or the folder belongs to another run.
        DataError: If the data set cannot be read or split as asked.
        StopRequestedError: After a SIGTERM or SIGINT, with the state saved.
    """
    check_values(config)
    stop = stop_request()
    with stop.listening(), locked(workdir):
        check_config(config, workdir)
        if processes.as_first((workdir / "results.json").exists()):
            print(f"{workdir} holds a finished run; see results.json there.")
            if not (workdir / "report.html").exists():  # stopped just before it
                processes.on_first(lambda: report_if_wanted(config, workdir))
            return

        # Data and settings: all checked before the folder is claimed.
        with stop.at_once("Stopped while preparing the data."):
            dataset = cohort.load(config)
            folds = cohort.make_folds(config, dataset)
        read_bracket(config, folds)  # refused now, not after hours
        arms = settings.build_arms(config, dataset.images.shape[1:])
        settings.check_starts(config)
        settings.augmentation(config, dataset.window)
        settings.check_twins(config, arms, folds[0].train)
        training_mesh(config)
        processes.on_first(lambda: record_config(config, workdir))
        processes.on_first(
            lambda: audit_before_training(config, dataset, folds, workdir)
        )

        trained, outcomes = [], []
        for fold in folds:
            params = _train_fold(config, arms, fold, workdir, stop, profile)
            outcomes += _evaluate_once(config, fold, params, workdir, stop)
            trained.append(params)
        _check_same(trained)
        write_galleries(config, folds[0], trained[0], outcomes, workdir, stop)
        processes.on_first(
            lambda: summarise(config, folds, trained, outcomes, workdir, stop)
        )
        processes.on_first(lambda: report_if_wanted(config, workdir))


def _train_fold(config, arms, fold, workdir, stop, profile) -> Trained:
    """Train the arms of one fold, in order."""
    best = {}
    for arm in arms:
        run = fold.run_name(arm.name)
        best[arm.name] = train_arm(
            arm,
            config,
            train=fold.train,
            validation=fold.validation,
            earlier=best,
            budgets=fold.budgets,
            workdir=workdir,
            run=run,
            stop_requested=stop,
            profile=profile,
        )
        processes.on_first(functools.partial(draw_thresholds, arm, workdir, run))
    return {arm.name: (arm, best[arm.name]) for arm in arms}


def _check_same(trained: list[Trained]) -> None:
    """Each process has computed the parameters itself."""
    digests = [
        parameters_sha256(params) for arms in trained for _, params in arms.values()
    ]
    if not processes.all_equal(" ".join(digests)):
        raise RuntimeError("The processes ended with different parameters.")


def _evaluate_once(config, fold, trained, workdir, stop) -> list[Outcome]:
    """Evaluate a fold, or read what an interrupted run has evaluated before."""
    path = workdir / fold.name / "outcomes.parquet"
    parts = Parts(workdir / fold.name, config)
    if not processes.as_first(path.exists()):
        processes.on_first(lambda: record_look(config, workdir))
        outcomes = evaluate_fold(config, fold, trained, workdir, parts=parts, stop=stop)
        processes.on_first(lambda: evaluation.write_parquet(outcomes, path))
    parts.remove()
    # Read back even if just written: interrupted or not, results come from the file.
    return evaluation.read_parquet(path)


def define_flags() -> None:
    """Flags of this command."""
    define_config("Experiment to run, such as configs/quickstart.py.")
    flags.DEFINE_string(
        "workdir", None, "Folder of the run; runs/<config name> if unset."
    )
    flags.DEFINE_bool(
        "profile", False, "Trace a few steps of each arm, for TensorBoard."
    )
    define_distributed()


def main(_) -> None:
    """Entry point."""
    prepare_jax(flags.FLAGS["distributed"].value)
    config = required("config")
    workdir = pathlib.Path(flags.FLAGS["workdir"].value or f"runs/{config.name}")
    train_and_evaluate(config, workdir, profile=bool(flags.FLAGS["profile"].value))


if __name__ == "__main__":
    run_command(main, define_flags)

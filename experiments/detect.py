r"""Detectors of adversarial images beside the arms of a finished run.

    python -m experiments.detect --workdir=runs/wbad
    python -m experiments.detect --workdir=runs/wbad \
        --config.detection.scores=removed_energy,prediction_change

Scores are frozen on clean validation images, and set against the run's PGD at the
headline epsilon and against an attacker who knows them. Writes `detection.json` into
the folder and prints a table. Overrides apply on top of `workdir/config.json`.
Interrupted, the same command goes on. Research only: no diagnostic use.
"""

import dataclasses
import functools
import pathlib

import numpy as np
from absl import flags

from configs.default import Config
from experiments import cohort, settings
from experiments.attack_settings import named_attack
from experiments.cohort import Fold
from experiments.command_line import required, run_command
from experiments.config_checks import check_values
from experiments.detect_arm import ArmDetection, Detected
from experiments.detection_table import Row, format_detectors
from experiments.evaluate import define_flags, prepare_jax
from experiments.evaluation_parts import Parts
from experiments.physics_detection import PHYSICS, check_physics, detect_physics
from experiments.run_folder import locked, provenance
from experiments.stopping import StopRequest, stop_request
from experiments.train_arm import restore_arm
from experiments.whole_files import write_json
from wbad_jax import evaluation, processes
from wbad_jax.evaluation import Guarded
from wbad_jax.types import Params

_FOLDER = "detection"


def detect_run(config: Config, workdir: pathlib.Path) -> list[Row]:
    """Measure the detectors of all arms of a finished run.

    Args:
        config: The run's config with overrides of `detection`, say.
        workdir: Folder of the run; `detection.json` there is replaced.

    Returns:
        The detectors, as written.

    Raises:
        ConfigError: If the run is unfinished or the config asks for the impossible.
        StopRequestedError: After a SIGTERM or SIGINT; finished attacks are kept.
    """
    check_values(config)
    check_physics(config)
    stop = stop_request()
    with stop.listening(), locked(workdir):
        with stop.at_once("Stopped while reading the data."):
            dataset = cohort.load(config)
            folds = cohort.make_folds(config, dataset)
        arms = settings.build_arms(config, dataset.images.shape[1:])
        rows = _measure(config, folds, arms, workdir, stop)
        processes.on_first(lambda: _write(config, folds[0], rows, workdir))
        for fold in folds:
            _parts(config, fold, workdir).remove()
    print(format_detectors(rows))
    print(f"Detectors in {workdir / 'detection.json'}. Research only: no diagnosis.")
    return rows


def _measure(config, folds, arms, workdir, stop: StopRequest) -> list[Row]:
    """Rows of all arms, folds pooled."""
    check = functools.partial(stop.check, "Stopped in the detection.")
    found: dict[str, list[list[Detected]]] = {arm.name: [] for arm in arms}
    for fold in folds:
        earlier: dict[str, Params] = {}
        parts = _parts(config, fold, workdir)
        for arm in arms:
            run = fold.run_name(arm.name)
            params = restore_arm(arm, workdir=workdir, run=run, earlier=earlier)
            earlier[arm.name] = params
            detection = ArmDetection(config, fold, arm, params, parts, check)
            detectors = detection.run()
            if config.detection.physics_examples:
                detectors += detect_physics(config, fold, detection, check)
            found[arm.name].append(detectors)
    norm = named_attack(config, "pgd").norm
    epsilon, window = folds[0].budgets[norm], folds[0].test.window
    return [
        _row(arm, pooled, norm, epsilon, window)
        for arm, folds_of_arm in found.items()
        for pooled in map(_pool, zip(*folds_of_arm, strict=True))
    ]


def _parts(config: Config, fold: Fold, workdir: pathlib.Path) -> Parts:
    return Parts(workdir / fold.name / _FOLDER, config)


def _pool(folds: tuple[Detected, ...]) -> Detected:
    """One detector on the test patients of all folds, each with its fold's limit."""

    def joined(pick) -> np.ndarray:
        return np.concatenate([pick(detected) for detected in folds])

    def guarded(which: str) -> Guarded:
        fields = [field.name for field in dataclasses.fields(Guarded)]
        return Guarded(
            **{f: joined(lambda d, f=f: getattr(getattr(d, which), f)) for f in fields}
        )

    return dataclasses.replace(
        folds[0],
        clean=guarded("clean"),
        attacked=guarded("attacked"),
        patient_ids=joined(lambda detected: detected.patient_ids),
    )


def _row(arm: str, detected: Detected, norm: str, epsilon: float, window) -> Row:
    measured = evaluation.measure_detection(
        detected.clean, detected.attacked, detected.patient_ids
    )
    return {
        "arm": arm,
        "score": detected.score,
        "attack": "detector_aware_pgd" if detected.aware else "pgd",
        "norm": norm,
        "epsilon": epsilon,
        "epsilon_celsius": epsilon * (window[1] - window[0]),
        "aware": detected.aware,
        **dataclasses.asdict(measured),
    }


def _write(config: Config, fold: Fold, rows: list[Row], workdir: pathlib.Path) -> None:
    meta = {
        "name": config.name,
        "headline_epsilon": fold.budgets["linf"],
        "window_celsius": list(fold.test.window),
        "data": {"name": fold.test.name, "version": fold.test.version},
        "false_alarms_at_limit": evaluation.FALSE_ALARMS,
        "num_validation": len(fold.validation),
        "detection": config.detection.to_dict(),
        "pgd": config.evaluation.pgd.to_dict(),
        "physics_score": PHYSICS,
        "not_a_diagnostic_device": True,
        **provenance(config),
    }
    write_json({"meta": meta, "detectors": rows}, workdir / "detection.json")


def main(_) -> None:
    """Entry point."""
    prepare_jax(flags.FLAGS["distributed"].value)
    workdir = pathlib.Path(required("workdir"))
    detect_run(required("config"), workdir)


if __name__ == "__main__":
    run_command(main, define_flags)

"""Times AutoAttack's suite for two classes on thermograms of a trained run.

    python -m experiments.train --config=configs/adversarial.py --workdir=runs/robust
    python -m benchmarks.attack_suite --workdir=runs/robust --arm=adversarial

Both pictures of test patients, in the order of the data set; gradients of the model,
and of the denoiser's other backward passes where the arm has a denoiser. The radius is
that of the run's config. Writes what broke how many images, and how long it took.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.measure import describe_machine, refuse_unoptimised
from experiments import cohort, settings
from experiments.run_folder import load_config
from experiments.settings import Arm
from experiments.train_arm import restore_arm
from experiments.white_box import backward_modes
from wbad_jax import attacks, devices, evaluation, models
from wbad_jax.types import Params

RESULTS = pathlib.Path(__file__).parent / "results" / "attack_suite.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the suite and writes its record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--arm", default="adversarial", help="of the run")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    if refuse_unoptimised():
        return 2
    devices.use_all_cores()
    config = load_config(options.workdir)
    dataset = cohort.load(config)
    (fold,) = cohort.make_folds(config, dataset)
    examples = cohort.examples_of(fold.test_pairs)
    rows = slice(options.images)
    arm, params = _trained(config, dataset, fold, options)
    epsilon = fold.budgets["linf"]
    images, labels = examples.images[rows], examples.labels[rows]
    record = run(arm, params, images, labels, epsilon, options)
    record["cohort"] = dataset.name
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {options.output}.")
    return 0


def _trained(config, dataset, fold, options) -> tuple[Arm, Params]:
    """The arm asked for, with the networks that it starts from."""
    earlier: dict[str, Params] = {}
    for arm in settings.build_arms(config, dataset.images.shape[1:]):
        name = fold.run_name(arm.name)
        earlier[arm.name] = restore_arm(
            arm, workdir=options.workdir, run=name, earlier=earlier
        )
        if arm.name == options.arm:
            return arm, earlier[arm.name]
    raise SystemExit(f"{options.workdir} has no arm {options.arm!r}.")


def run(
    arm: Arm, params: Params, images: np.ndarray, labels: np.ndarray, epsilon: float,
    options: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Attacks the images, and records what came of it."""

    def apply_of(logits_fn_of):
        return lambda params, x: logits_fn_of(params)(x)

    surrogates = backward_modes(arm, ("identity", "smooth"))
    suite = attacks.CompiledSuite(
        apply_of(arm.classifier.logits_fn),
        attacks.AutoAttack(),
        batch_size=options.batch,
        surrogates={name: apply_of(of) for name, of in surrogates.items()},
    )
    wall, cpu = time.perf_counter(), time.process_time()
    result = suite(params, jax.random.key(0), images, labels, epsilon=epsilon)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    broken = {name: int(np.sum(result.broken_by == name)) for name in result.seconds}
    low, high = evaluation.wilson_interval(int(np.sum(~result.success)), len(labels))
    record = {
        "machine": describe_machine(),
        "devices": jax.device_count(),
        "images": list(images.shape),
        "network": f"{arm.name}, {models.num_parameters(params)} parameters, "
        f"denoiser {arm.classifier.denoiser is not None}",
        "epsilon": epsilon,
        "batch": options.batch,
        "surrogates": sorted(surrogates),
        "wall_minutes": wall / 60,
        "cpu_minutes": cpu / 60,
        "clean_accuracy": float(np.mean(result.broken_by != "clean")),
        "robust_accuracy": result.robust_accuracy,
        "ci_low": low,
        "ci_high": high,
        "broken_by": broken,
        "seconds": result.seconds,
    }
    for name, seconds in result.seconds.items():
        print(f"{name:10} {seconds:7.0f} s  broke {broken[name]}")
    print(
        f"robust {record['robust_accuracy']:.3f} of {len(labels)}, clean "
        f"{record['clean_accuracy']:.3f}, {wall / 60:.1f} min"
    )
    return record


if __name__ == "__main__":
    sys.exit(main())

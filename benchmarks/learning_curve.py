"""How accuracy grows with the number of patients, undefended and adversarially trained.

    python -m benchmarks.learning_curve --workdir=runs/learning_curve

Training patients are the first of the cohort `large`, 15 % of them (at most 300) to
choose the checkpoint. All sizes are tested on the same patients of `test`, as they are
and under PGD. Trains for an hour or two on two cores; the same command goes on where it
stopped.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from benchmarks.measure import write_report
from configs import default
from configs.default import Config
from experiments import cohort, settings
from experiments.evaluate_arms import evaluate_fold
from experiments.train_arm import train_arm
from wbad_jax import data, evaluation
from wbad_jax.data import Dataset

RESULTS = pathlib.Path(__file__).parent / "results" / "learning_curve.json"
SIZES = (460, 918, 1837, 10000)
ARMS = ("undefended", "adversarial")
_MOST_VALIDATION = 300  # patients; more would take longer than training
_BUILDER = "simulated_thermograms"


def make_config() -> Config:
    """The settings of all sizes: the default config, with cheaper attacks."""
    config = default.get_config()
    config.arms = ARMS
    config.arm.undefended.num_steps = 600
    config.arm.adversarial.num_steps = 300
    config.training.eval_every = 100
    config.training.pgd = dict(num_steps=4, step_size=0.4, start="random")
    config.evaluation.protocols = ("clean", "adaptive")
    config.evaluation.attacks = ("pgd",)
    config.evaluation.pgd = dict(num_steps=20, restarts=1)
    return config


def load_patients(options: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Patients to train on, both twins, and others to test on, as they are."""
    counts = {"large": max(options.sizes), "test": options.test_patients}
    datasets = [
        data.load(
            f"{_BUILDER}/{name}",
            options.data_dir,
            settings={"num_patients": count},
            twins=name == "large",
        )
        for name, count in counts.items()
    ]
    data.check_disjoint(*datasets)
    return datasets[0], datasets[1]


def make_fold(config: Config, everyone: Dataset, test: Dataset, size: int):
    """The first `size` patients, some of them to choose the checkpoint."""
    chosen = everyone.subset(everyone.patient_ids < size)
    share = min(config.data.validation_fraction, _MOST_VALIDATION / size)
    parts = data.split_by_patient(
        chosen, {"train": 1 - share, "validation": share}, config.data.split_seed
    )
    validation = parts["validation"]
    return cohort.Fold(
        name=f"{size}",
        train=chosen.subset(parts["train"]),
        validation=chosen.subset(validation[chosen.factual[validation]]),
        test=test,
        test_pairs=test,
        budgets=cohort.make_budgets(config, everyone),
        baselines={},
    )


def measure(config: Config, fold: cohort.Fold, workdir: pathlib.Path) -> list:
    """Trains and tests the arms on one number of patients."""
    best = {}
    for arm in settings.build_arms(config, fold.train.images.shape[1:]):
        params = train_arm(
            arm,
            config,
            train=fold.train,
            validation=fold.validation,
            earlier={name: params for name, (_, params) in best.items()},
            budgets=fold.budgets,
            workdir=workdir,
            run=fold.run_name(arm.name),
            stop_requested=lambda: False,
        )
        best[arm.name] = arm, params
    outcomes = evaluate_fold(config, fold, best, workdir)
    rows = evaluation.make_rows(outcomes, fold.test.window)
    print(evaluation.format_table(rows), flush=True)
    return rows


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--test_patients", type=int, default=1000)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--data_dir", default=cohort.default_data_dir())
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print tables and write the JSON file after each size."""
    options = parse(argv)
    config = make_config()
    everyone, test = load_patients(options)
    sizes = {}
    for size in sorted(options.sizes):
        print(f"\n{size} patients", flush=True)
        fold = make_fold(config, everyone, test, size)
        sizes[str(size)] = measure(config, fold, options.workdir)
        report = {
            "train": f"{everyone.name} {everyone.version}",
            "test": f"{test.name} {test.version}",
            "config": config.to_dict(),
            "sizes": sizes,
        }
        write_report(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

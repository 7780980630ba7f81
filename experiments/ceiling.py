r"""Bracket the robust accuracy that classifiers can reach on a simulated cohort.

    python -m experiments.ceiling --cohort=paper --output=runs/ceiling.json
    python -m experiments.ceiling --cohort=large --epsilons=1,2,4,8 --norms=linf

For each norm and radius: the pair bound of the test patients, the ceiling of the
informed observer, and what the scanning observer certifies. Radii are in 255ths of the
temperature window; those in L2 are multiplied by the median of |s|_2 / |s|_inf over
lesions s, as in the configs. A plot goes beside the JSON.
"""

import json
import pathlib
from typing import Any

import numpy as np
from absl import flags

from experiments.bracket import bracket
from experiments.ceiling_plot import draw
from experiments.cohort import default_data_dir
from experiments.command_line import required, run_command
from experiments.config_errors import ConfigError
from wbad_jax import data

_BUILDER = "simulated_thermograms"


def write(record: dict[str, Any], path: pathlib.Path) -> None:
    """Writes a record as JSON, the folder too.

    Args:
        record: Of `bracket`.
        path: Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_string("cohort", None, "Which cohort, as in experiments.simulate.")
    flags.DEFINE_list(
        "epsilons", ["0.25", "0.5", "1", "2", "4", "8"], "Radii in 255ths."
    )
    flags.DEFINE_list("norms", ["linf", "l2"], "Norms: linf, l2.")
    flags.DEFINE_string("data_dir", None, "Where data sets are kept.")
    flags.DEFINE_integer("num_patients", None, "Patients, if not those of the cohort.")
    flags.DEFINE_integer("max_train", 2000, "Most training patients.", lower_bound=8)
    flags.DEFINE_integer(
        "max_informed", 500, "Most test patients of the informed observer.", 2
    )
    flags.DEFINE_integer("seed", 0, "Of the split by patient.")
    flags.DEFINE_string("output", "ceiling.json", "JSON to write; a PNG goes beside.")


def main(_) -> None:
    """Entry point."""
    cohort = required("cohort")
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    epsilons = _numbers(given["epsilons"])
    if not set(given["norms"]) <= {"linf", "l2"}:
        raise ConfigError(f"norms must be among linf and l2, got {given['norms']}.")
    output = pathlib.Path(given["output"])
    configs = {each.name: each for each in data.SimulatedThermograms.BUILDER_CONFIGS}
    count = given["num_patients"]
    settings = {} if count is None else {"num_patients": count}
    folder = pathlib.Path(given["data_dir"] or default_data_dir())
    dataset = data.load(f"{_BUILDER}/{cohort}", folder, settings=settings)
    record = bracket(
        dataset,
        configs[cohort].cohort,
        epsilons,
        given["norms"],
        seed=given["seed"],
        max_train=given["max_train"],
        max_informed=given["max_informed"],
        store=lambda record: write(record, output),
    )
    draw(record, output.with_suffix(".png"))
    print(f"Wrote {output} and {output.with_suffix('.png')}.")


def _numbers(words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < np.inf for number in numbers):
        raise ConfigError(f"epsilons needs positive numbers, got {','.join(words)}.")
    return sorted(numbers)


if __name__ == "__main__":
    run_command(main, define_flags)

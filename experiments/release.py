r"""Pack a finished run into a small folder that others can evaluate.

    python -m experiments.release --workdir=runs/quickstart \
        --output=checkpoints/quickstart

    python -m experiments.release --workdir=runs/headline/arms/seed0 \
        --arms=undefended,wbad --surrogates=checkpoints/undefended \
        --output=checkpoints/wbad

The folder gets the config, the best parameters of each arm, `results.json` and a model
card, `README.md`. `python -m experiments.evaluate --workdir=FOLDER` evaluates it like a
run; the digests of the parameters are those of the results.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from configs.default import Config
from experiments.command_line import required, run_command
from experiments.config_errors import ConfigError
from experiments.evaluate import prepare_jax
from experiments.model_card import model_card
from experiments.parameter_files import FILE, write_parameters
from experiments.released_results import of_arms, with_surrogates
from experiments.run_folder import load_config, set_fields
from experiments.train_arm import parameters_sha256
from experiments.trained_run import open_run
from experiments.whole_files import read_json, write_json, write_text

# Most bytes of a released arm.
_MOST_BYTES = 2 * 2**20
_SWEEPS = pathlib.Path(__file__).parents[1] / "configs" / "sweeps"


def release(
    workdir: pathlib.Path,
    output: pathlib.Path,
    arms: Sequence[str] = (),
    surrogates: Sequence[str] = (),
) -> None:
    """Pack a run.

    Args:
        workdir: Folder of a finished run of one division of the patients.
        output: Folder to make.
        arms: Those to pack; all if empty.
        surrogates: Released folders of the networks that made the graybox images, one
            for each, in the order of the results; the run's own folders if empty.

    Raises:
        ConfigError: If the run is unfinished or of several folds, its parameters are
            not those of its results, the folder exists, or an arm or the number of
            surrogates is not that of the run.
    """
    if output.exists():
        raise ConfigError(f"{output} exists; choose another --output.")
    config, results = load_config(workdir), _read_results(workdir)
    run = open_run(config, workdir)
    if run.fold.name:
        raise ConfigError(
            f"{workdir} is a cross-validation; a release is of one network an arm."
        )
    trained = {name: params for name, (_, params) in run.trained.items()}
    digests = {name: parameters_sha256(params) for name, params in trained.items()}
    if digests != results["meta"]["parameters_sha256"]:
        raise ConfigError(
            f"{workdir}: the parameters are not those that results.json is about; run "
            "experiments.evaluate first."
        )
    arms = _choose(config, arms)
    results = with_surrogates(of_arms(results, arms), surrogates)
    for name in arms:
        params, path = trained[name], output / name / FILE
        write_parameters(params, path)
        if path.stat().st_size > _MOST_BYTES:
            print(f"{path} has {path.stat().st_size / 2**20:.1f} MiB.")
    record = read_json(workdir / "config.json")
    set_fields(record["config"], results["meta"].get("overrides", {}))
    record = _of_release(record, arms, surrogates, run.image_shape)
    write_json(record, output / "config.json")
    write_json(results, output / "results.json")
    write_text(model_card(record, results, output.name), output / "README.md")
    print(f"{', '.join(arms)} in {output}.")


def _choose(config: Config, arms: Sequence[str]) -> list[str]:
    """The arms to pack, in the order of training."""
    unknown = set(arms) - set(config.arms)
    if unknown:
        raise ConfigError(f"--arms names {sorted(unknown)}; known: {[*config.arms]}.")
    chosen = [name for name in config.arms if not arms or name in arms]
    for name in chosen:
        first = config.arm[name].init_from
        if first and first not in chosen:
            raise ConfigError(
                f"--arms has {name!r}, which started from {first!r}; name that too."
            )
    return chosen


def _of_release(record, arms: list[str], surrogates: Sequence[str], image_shape):
    """`config.json` of the folder, without what is of the machine of the run."""
    values = record["config"]
    values["data"] |= {"data_dir": None, "manual_dir": None}
    values["arms"] = arms
    if values["evaluation"]["reference_arm"] not in arms:
        values["evaluation"]["reference_arm"] = ""
    if surrogates:
        there = {"surrogate": None, "surrogates": [*surrogates]}
        values["evaluation"] |= there
    return record | {"command": _command(record), "image_shape": [*image_shape]}


def _read_results(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / "results.json"
    if not path.exists():
        raise ConfigError(f"{path} is missing: the run is not finished.")
    return read_json(path)


def _command(record: dict[str, Any]) -> str:
    """How to train it again, without the folders of the machine where it was."""
    name = record["config"]["name"]
    sweep = name.partition("-")[0]
    if (_SWEEPS / f"{sweep}.py").exists():
        return f"python -m experiments.ablate --config=configs/sweeps/{sweep}.py"
    return f"python -m experiments.train --config=configs/{name}.py"


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.")
    flags.DEFINE_string("output", None, "Folder to make, such as checkpoints/NAME.")
    flags.DEFINE_list("arms", [], "Arms to pack; all if unset.")
    flags.DEFINE_list("surrogates", [], "Released folders that made graybox images.")


def main(_) -> None:
    """Entry point."""
    prepare_jax()
    release(
        pathlib.Path(required("workdir")),
        pathlib.Path(required("output")),
        flags.FLAGS["arms"].value or (),
        flags.FLAGS["surrogates"].value or (),
    )


if __name__ == "__main__":
    run_command(main, define_flags)

r"""Pack a finished run into a small folder that others can evaluate.

    python -m experiments.release --workdir=runs/quickstart \
        --output=checkpoints/quickstart

The folder gets the config, the best parameters of each arm, `results.json` and a model
card, `README.md`. `python -m experiments.evaluate --workdir=FOLDER` evaluates it like a
run; the digests of the parameters are those of the results.
"""

import pathlib
from typing import Any

from absl import flags

from experiments.command_line import required, run_command
from experiments.config_errors import ConfigError
from experiments.evaluate import prepare_jax
from experiments.model_card import model_card
from experiments.parameter_files import FILE, write_parameters
from experiments.run_folder import load_config
from experiments.train_arm import parameters_sha256
from experiments.trained_run import open_run
from experiments.whole_files import read_json, write_json, write_text

# Most bytes of a released arm.
_MOST_BYTES = 2 * 2**20


def release(workdir: pathlib.Path, output: pathlib.Path) -> None:
    """Pack a run.

    Args:
        workdir: Folder of a finished run of one division of the patients.
        output: Folder to make.

    Raises:
        ConfigError: If the run is unfinished or of several folds, its parameters are
            not those of its results, or the folder exists.
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
    for name, params in trained.items():
        path = output / name / FILE
        write_parameters(params, path)
        if path.stat().st_size > _MOST_BYTES:
            print(f"{path} has {path.stat().st_size / 2**20:.1f} MiB.")
    record = read_json(workdir / "config.json")
    record["config"]["data"]["data_dir"] = None  # of the machine it was trained on
    record["config"]["data"]["manual_dir"] = None
    record |= {"command": _command(record), "image_shape": list(run.image_shape)}
    write_json(record, output / "config.json")
    write_json(results, output / "results.json")
    write_text(model_card(record, results, output.name), output / "README.md")
    print(f"{', '.join(trained)} in {output}.")


def _read_results(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / "results.json"
    if not path.exists():
        raise ConfigError(f"{path} is missing: the run is not finished.")
    return read_json(path)


def _command(record: dict[str, Any]) -> str:
    """How to train it again, without the folders of the machine where it was."""
    return f"python -m experiments.train --config=configs/{record['config']['name']}.py"


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.")
    flags.DEFINE_string("output", None, "Folder to make, such as checkpoints/NAME.")


def main(_) -> None:
    """Entry point."""
    prepare_jax()
    release(pathlib.Path(required("workdir")), pathlib.Path(required("output")))


if __name__ == "__main__":
    run_command(main, define_flags)

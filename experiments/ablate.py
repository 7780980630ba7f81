r"""Run a sweep: many variants of one experiment, and one table to compare them.

    python -m experiments.ablate --config=configs/sweeps/thresholds.py
    python -m experiments.ablate --config=configs/sweeps/thresholds.py:smoke \
        --config.base.data.data_dir=DATA --workdir=runs/smoke

Every run trains and evaluates in a process of its own, in `workdir/RUN/seedN`, a work
folder like any other. One that fails is noted, and the others go on; the same command
again skips what is finished, resumes what was interrupted and tries again what failed.
Writes `ablation.json`, `ablation.csv` and `ablation.png` into the work folder.
"""

import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from absl import flags

from configs.default import Config
from experiments import ablation_table, settings
from experiments.command_line import define_config, prepare_jax, required, run_command
from experiments.run_folder import locked
from experiments.settings import ConfigError
from experiments.train import train_and_evaluate

_ERROR_LINES = 20


@dataclasses.dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        name: Of the run.
        seed: Of its training.
        config: The experiment.
    """

    name: str
    seed: int
    config: Config

    @property
    def path(self) -> pathlib.Path:
        """Its folder within that of the sweep."""
        return pathlib.Path(self.name) / f"seed{self.seed}"


def expand(sweep: Config) -> list[Variant]:
    """All runs of a sweep, checked as far as is possible without data.

    Raises:
        ConfigError: If a field is unknown or of another type, two runs have one name,
            there are none, or the reference is not among them.
    """
    names = [name for name, _ in sweep.runs]
    if not names or not sweep.seeds:
        raise ConfigError("A sweep needs at least one of runs and one of seeds.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"runs must have names of their own, got {twice} twice.")
    for name in names:
        if name in (".", "..") or "/" in name or not name:
            raise ConfigError(f"runs must have names fit for a folder, got {name!r}.")
    if sweep.reference not in names:
        raise ConfigError(
            f"reference must be one of the runs {names}, got {sweep.reference!r}."
        )
    return [
        Variant(name, seed, _changed(sweep, name, fields, seed))
        for name, fields in sweep.runs
        for seed in sweep.seeds
    ]


def _changed(sweep: Config, name: str, fields, seed: int) -> Config:
    config = sweep.base.copy_and_resolve_references().lock()
    try:
        config.update_from_flattened_dict({**dict(fields), "seed": seed})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"run {name!r}: {error}") from error
    config.name = f"{sweep.name}-{name}"
    settings.check_evaluation(config)
    return config


def run_sweep(sweep: Config, workdir: pathlib.Path, arguments: Sequence[str]) -> bool:
    """Run what is not finished, and write the table.

    Args:
        sweep: What to run.
        workdir: Folder of the sweep.
        arguments: Flags with which the processes of single runs find the same sweep.

    Returns:
        Whether all runs are finished.
    """
    variants = expand(sweep)
    errors: dict[pathlib.Path, str] = {}
    with locked(workdir):
        waiting = [v for v in variants if not _finished(workdir, v)]
        print(f"{len(variants)} runs, {len(variants) - len(waiting)} finished before.")
        start = time.monotonic()
        for number, variant in enumerate(waiting):
            left = _remaining(time.monotonic() - start, number, len(waiting))
            print(f"[{number + 1}/{len(waiting)}] {variant.path}{left}", flush=True)
            error = _run_apart(variant, workdir, arguments)
            if error is not None:
                errors[variant.path] = error
                last = error.strip().splitlines()[-1]
                print(f"  failed: {last}", flush=True)
        runs = dict(_finished_runs(workdir, variants))
        ablation_table.write(runs, sweep.reference, _by_name(errors), workdir)
    return not errors


def _finished(workdir: pathlib.Path, variant: Variant) -> bool:
    return (workdir / variant.path / "results.json").exists()


def _finished_runs(
    workdir: pathlib.Path, variants: Sequence[Variant]
) -> Iterator[tuple[str, list[pathlib.Path]]]:
    """Folders of the finished seeds of each run, runs in order."""
    for name in dict.fromkeys(variant.name for variant in variants):
        own = [v for v in variants if v.name == name and _finished(workdir, v)]
        if own:
            yield name, [workdir / variant.path for variant in own]


def _run_apart(variant: Variant, workdir: pathlib.Path, arguments) -> str | None:
    """Train and evaluate in a new process; what it said last, if it failed."""
    folder = workdir / variant.path
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "experiments.ablate", *arguments]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*command, f"--only={variant.path}"],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # it saves, then stops
            process.wait()
            raise
    if status == 0 and _finished(workdir, variant):
        return None
    lines = log.read_text("utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = "\n".join(line for line in lines[-_ERROR_LINES:] if line.strip())
    return said or f"ended with status {status}"


def _remaining(seconds: float, done: int, total: int) -> str:
    if not done:
        return ""
    minutes = seconds / done * (total - done) / 60
    return f", {seconds / 60:.0f} min so far, about {minutes:.0f} to go"


def _by_name(errors: dict[pathlib.Path, str]) -> dict[str, str]:
    return {str(path): error for path, error in errors.items()}


def define_flags() -> None:
    """Flags of this command."""
    define_config("Sweep to run, such as configs/sweeps/thresholds.py.")
    flags.DEFINE_string(
        "workdir", None, "Folder of the sweep; runs/<name of the sweep> if unset."
    )
    flags.DEFINE_string("only", None, "Run this one, here: RUN/seedN.")


def main(_) -> None:
    """Entry point."""
    sweep = required("config")
    workdir = pathlib.Path(flags.FLAGS["workdir"].value or f"runs/{sweep.name}")
    only = flags.FLAGS["only"].value
    if only is None:
        if not run_sweep(sweep, workdir, sys.argv[1:]):
            sys.exit(1)
        return
    chosen = [variant for variant in expand(sweep) if str(variant.path) == only]
    if not chosen:
        raise ConfigError(f"--only must be RUN/seedN of the sweep, got {only!r}.")
    prepare_jax()
    train_and_evaluate(chosen[0].config, workdir / only)


if __name__ == "__main__":
    run_command(main, define_flags)

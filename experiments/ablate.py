r"""Run a sweep: many variants of one experiment, and one table to compare them.

    python -m experiments.ablate --config=configs/sweeps/thresholds.py
    python -m experiments.ablate --config=configs/sweeps/thresholds.py:smoke \
        --config.base.data.data_dir=DATA --workdir=runs/smoke

Every run trains and evaluates in a process of its own, in `workdir/RUN/seedN`, a work
folder like any other. One that fails is noted, and the others go on. The same command
again skips what is finished, resumes what was interrupted and tries again what failed;
SIGTERM and SIGINT let the current run save, then stop. `ablation.json`, `ablation.csv`
and `ablation.png` in the work folder are up to date after each run. The exit status is
1 if any run failed.
"""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from absl import flags

from configs.default import Config
from experiments import ablation_table, sweep
from experiments.ablation_plot import draw
from experiments.command_line import define_config, prepare_jax, required, run_command
from experiments.config_errors import ConfigError
from experiments.run_folder import check_config, locked
from experiments.sweep import Variant
from experiments.train import train_and_evaluate
from wbad_jax.training import StopRequestedError

_ERROR_LINES = 20


class StopSignal:
    """Whether SIGTERM or SIGINT came; each is passed on to the current run.

    Attributes:
        requested: Whether one came.
        process: The current run. The first signal makes it save, a second one abort.
    """

    def __init__(self):
        self.requested = False
        self.process: subprocess.Popen | None = None

    def __call__(self, number: int, _) -> None:
        """Handle a signal."""
        self.requested = True
        name = signal.Signals(number).name
        print(f"\n{name}: the current run saves, then the sweep stops.", flush=True)
        if self.process is not None:
            self.process.send_signal(number)

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """Be the handler of both signals."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def run_sweep(config: Config, workdir: pathlib.Path, arguments: Sequence[str]) -> bool:
    """Run what is not finished, and write the table.

    Args:
        config: The sweep.
        workdir: Its folder.
        arguments: Flags with which the processes of single runs find the same sweep.

    Returns:
        Whether all runs are finished.

    Raises:
        ConfigError: If the sweep cannot work, or a folder belongs to another run.
        StopRequestedError: After a SIGTERM or SIGINT, if that left any run waiting.
    """
    variants = sweep.expand(config)
    stop = StopSignal()
    with locked(workdir), stop.handling():
        for variant in variants:
            check_config(variant.config, workdir / variant.path)
        waiting = [v for v in variants if not _finished(workdir, v)]
        print(f"{len(variants)} runs, {len(variants) - len(waiting)} finished before.")
        start = time.monotonic()
        for number, variant in enumerate(waiting):
            if stop.requested:
                break
            left = _remaining(time.monotonic() - start, number, len(waiting))
            print(f"[{number + 1}/{len(waiting)}] {variant.path}{left}", flush=True)
            _run_and_note(variant, workdir, arguments, stop)
            _tabulate(config, variants, workdir)
        print(_tabulate(config, variants, workdir))
    unfinished = [v for v in variants if not _finished(workdir, v)]
    if stop.requested and unfinished:
        raise StopRequestedError(f"Stopped with {len(unfinished)} runs to go.")
    return not unfinished


def _finished(workdir: pathlib.Path, variant: Variant) -> bool:
    results = workdir / variant.path / "results.json"
    return results.exists() and not _note(workdir, variant).exists()


def _note(workdir: pathlib.Path, variant: Variant) -> pathlib.Path:
    """File that says why a run failed, until it is tried again."""
    return workdir / variant.path / "error.txt"


def _run_and_note(variant: Variant, workdir, arguments, stop: StopSignal) -> None:
    """Run; if that fails, say why here and in the folder of the run."""
    note = _note(workdir, variant)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    error = _run_apart(variant, workdir, arguments, stop)
    if error is not None:
        note.write_text(error + "\n", encoding="utf-8")
        print(f"  failed: {ablation_table.last_line(error)}", flush=True)


def _run_apart(
    variant: Variant, workdir: pathlib.Path, arguments: Sequence[str], stop: StopSignal
) -> str | None:
    """Train and evaluate in a new process; how it ended and what it said, if failed."""
    folder = workdir / variant.path
    command = [sys.executable, "-m", "experiments.ablate", *arguments]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        # A session of its own: Ctrl-C reaches it through `stop` only, and so once.
        stop.process = subprocess.Popen(
            [*command, f"--only={variant.path}"],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = stop.process.wait()
        stop.process = None
    if _finished(workdir, variant):
        try:
            check_config(variant.config, folder)  # the sweep's file may have changed
        except ConfigError as error:
            return str(error)
        return None
    if stop.requested:
        return None
    ended = (
        f"killed by {signal.Signals(-status).name}"
        if status < 0
        else f"ended with status {status}"
    )
    lines = log.read_text("utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = [line for line in lines if line.strip()][-_ERROR_LINES:]
    return "\n".join([f"{ended}, having said:", *said] if said else [ended])


def _remaining(seconds: float, done: int, total: int) -> str:
    if not done:
        return ""
    minutes = seconds / done * (total - done) / 60
    return f", {seconds / 60:.0f} min so far, about {minutes:.0f} to go"


def _tabulate(
    config: Config, variants: Sequence[Variant], workdir: pathlib.Path
) -> str:
    """Write the table of what is finished, and return it as text."""
    runs: dict[str, list[pathlib.Path]] = {}
    failed, waiting = {}, []
    for variant in variants:
        if _finished(workdir, variant):
            runs.setdefault(variant.name, []).append(workdir / variant.path)
        elif _note(workdir, variant).exists():
            error = _note(workdir, variant).read_text("utf-8").strip()
            failed[str(variant.path)] = error
        else:
            waiting.append(str(variant.path))
    reference = sweep.reference(config)
    rows = ablation_table.write(
        runs, reference=reference, failed=failed, waiting=waiting, workdir=workdir
    )
    shown = ablation_table.Shown(config.shown_arms, config.shown_attacks).of(rows)
    draw(shown, workdir / "ablation.png")
    return ablation_table.describe(shown, reference, failed, waiting)


def define_flags() -> None:
    """Flags of this command."""
    define_config("Sweep to run, such as configs/sweeps/thresholds.py.")
    flags.DEFINE_string(
        "workdir", None, "Folder of the sweep; runs/<name of the sweep> if unset."
    )
    flags.DEFINE_string(
        "only", None, "Run this one, here: RUN/seedN, or RUN where it has one seed."
    )


def main(_) -> None:
    """Entry point."""
    config = required("config")
    workdir = pathlib.Path(flags.FLAGS["workdir"].value or f"runs/{config.name}")
    only = flags.FLAGS["only"].value
    if only is None:
        if not run_sweep(config, workdir, sys.argv[1:]):
            sys.exit(1)
        return
    variant = choose(sweep.expand(config), only)
    prepare_jax()
    train_and_evaluate(variant.config, workdir / variant.path)


def choose(variants: Sequence[Variant], only: str) -> Variant:
    """The run of a sweep that `--only` names.

    Raises:
        ConfigError: If it names none, or one with several seeds.
    """
    chosen = [v for v in variants if only in (str(v.path), v.name)]
    if len(chosen) != 1:
        known = ", ".join(str(v.path) for v in chosen or variants)
        raise ConfigError(f"--only must be one of {known}; got {only!r}.")
    return chosen[0]


if __name__ == "__main__":
    run_command(main, define_flags)

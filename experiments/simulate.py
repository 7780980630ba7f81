r"""Simulate a cohort of patients and store it, ahead of the runs that use it.

    python -m experiments.simulate --cohort=quickstart
    python -m experiments.simulate --cohort=paper --num_patients=50 --preview=few.png

Patients gather in the data folder; stopped at any moment, the same command goes on from
there. Training simulates the cohort of its config itself if that is not there yet.
`--preview` draws twelve patients with and without their tumour.
"""

import pathlib
import signal
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from absl import flags, logging

from experiments.cohort import default_data_dir
from experiments.command_line import required, run_command
from experiments.preview import check_preview, write_preview
from wbad_jax import data
from wbad_jax.training import StopRequestedError

_BUILDER = "simulated_thermograms"
# Flags that change a field of the cohort's config.
_OVERRIDES = ("num_patients", "first_seed")


def simulate(
    cohort: str,
    data_dir: pathlib.Path,
    *,
    settings: Mapping[str, int],
    workers: int,
    preview: pathlib.Path | None,
) -> None:
    """Prepare a cohort, tell where it is, and draw some of it.

    Args:
        cohort: Name of a config of the builder.
        data_dir: Where prepared data sets are kept.
        settings: Fields of the config to change.
        workers: Patients simulated at the same time.
        preview: Picture to write, if any.

    Raises:
        ConfigError: If the picture cannot be drawn.
        DataError: If the cohort is unknown or cannot be simulated or written.
        StopRequestedError: After a SIGTERM or SIGINT.
    """
    if preview is not None:
        check_preview(preview)  # before hours of work
    start = time.monotonic()
    try:
        builder = data.prepare(
            f"{_BUILDER}/{cohort}", data_dir, settings=settings, workers=workers
        )
    except KeyboardInterrupt:
        raise StopRequestedError("Stopped; all but the last patients are kept.") from (
            None
        )
    seconds = time.monotonic() - start
    index = data.read_index(builder)
    first = index["frame"] == 0
    print(
        f"{builder.data_dir} holds {first.sum()} patients, "
        f"{index['label'][first].mean():.1%} of them with a tumour, made or found in "
        f"{seconds:.1f} s."
    )
    if preview is not None:
        write_preview(builder, index, preview)
        print(f"Pictures of some of them are in {preview}.")


def _interrupt(number, _) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


def define_flags() -> None:
    """Flags of this command."""
    configs = data.SimulatedThermograms.BUILDER_CONFIGS
    names = ", ".join(config.name for config in configs)
    flags.DEFINE_string("cohort", None, f"Which cohort: {names}.")
    flags.DEFINE_integer("num_patients", None, "Patients, if not those of the cohort.")
    flags.DEFINE_integer("first_seed", None, "Seed of the first patient, likewise.")
    flags.DEFINE_string(
        "data_dir", None, "Where data sets are kept; where training looks if unset."
    )
    flags.DEFINE_string("preview", None, "Picture of twelve patients to write.")
    flags.DEFINE_integer(
        "workers", 2, "Patients simulated at the same time.", lower_bound=1
    )


def main(_) -> None:
    """Entry point."""
    cohort = required("cohort")
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    for each in (signal.SIGTERM, signal.SIGINT):  # which background jobs ignore
        signal.signal(each, _interrupt)
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every changed field
    simulate(
        cohort,
        pathlib.Path(given["data_dir"] or default_data_dir()),
        settings={n: given[n] for n in _OVERRIDES if given[n] is not None},
        workers=given["workers"],
        preview=pathlib.Path(given["preview"]) if given["preview"] else None,
    )


if __name__ == "__main__":
    run_command(main, define_flags)

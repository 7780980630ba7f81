r"""Make the report of a run, or compare several runs on one page.

    python -m experiments.report --workdir=runs/wbad
    python -m experiments.report --workdir=runs/wbad --workdir=runs/adversarial \
        --output=runs/wbad_against_adversarial.html --figures

Reads the files of the folders and nothing else: results.json, predictions.parquet,
checks.json, audit.json, certificates.json, detection.json, gallery-<arm>.npz,
metrics.jsonl, config.json. What is missing, the page says how to make. Writes
report.html and report.md; with --figures also figures/*.png and *.pdf beside them.
"""

import pathlib

from absl import flags

from experiments.command_line import run_command
from experiments.config_errors import ConfigError
from experiments.report.writing import write_report


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_multi_string(
        "workdir", [], "Folder of a finished run; more than one to compare them."
    )
    flags.DEFINE_string(
        "output", None, "The page; report.html in the folder of a single run if unset."
    )
    flags.DEFINE_bool("figures", False, "Also write figures/*.png and *.pdf.")


def main(_) -> None:
    """Entry point."""
    workdirs = [pathlib.Path(name) for name in flags.FLAGS["workdir"].value or ()]
    output = flags.FLAGS["output"].value
    if not workdirs:
        raise ConfigError("--workdir is needed.")
    if output is None and len(workdirs) > 1:
        raise ConfigError("--output is needed with more than one --workdir.")
    path = pathlib.Path(output) if output else workdirs[0] / "report.html"
    write_report(workdirs, path, for_papers=bool(flags.FLAGS["figures"].value))
    print(f"Wrote {path} and {path.with_suffix('.md')}.")


if __name__ == "__main__":
    run_command(main, define_flags)

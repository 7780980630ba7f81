"""The report of a run, or of several to compare: one page, figures, a table.

It is made from the files of the runs' folders alone, see `run_files`.
"""

import pathlib

from absl import logging

from configs.default import Config


def report_if_wanted(config: Config, workdir: pathlib.Path) -> None:
    """Write `report.html` at the end of a run; if that fails, the results stand.

    Args:
        config: Of the run; `report` says whether.
        workdir: Its folder.
    """
    if not config.report:
        return
    output = workdir / "report.html"
    try:
        # Here: a plotly that is broken or missing should not stop a run either.
        from experiments.report.writing import write_report

        write_report([workdir], output)
    except Exception as error:
        logging.warning(
            "No report: %s: %s. The results are complete; after a repair, python -m "
            "experiments.report --workdir=%s makes it.",
            type(error).__name__, error, workdir,
        )  # fmt: skip
    else:
        print(f"Report in {output}.")

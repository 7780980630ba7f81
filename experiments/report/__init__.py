"""The report of a run, or of several to compare: one page, figures, a table.

It is made from the files of the runs' folders alone, see `run_files`.
"""

import pathlib
from collections.abc import Sequence

from absl import logging

from configs.default import Config
from experiments.report.markdown import markdown
from experiments.report.page import render, write_text
from experiments.report.paper_figures import write_figures
from experiments.report.run_files import read_runs
from experiments.report.sections import figures, sections
from experiments.report.verdict import verdict

__all__ = ["report_if_wanted", "write_report"]


def write_report(
    workdirs: Sequence[pathlib.Path], output: pathlib.Path, *, for_papers: bool = False
) -> None:
    """Write the page, and beside it the headline as Markdown.

    Args:
        workdirs: Folders of finished runs.
        output: The page; the Markdown has the same name with `.md`.
        for_papers: Whether `figures/` beside the page gets PNG and PDF files.

    Raises:
        ConfigError: If a folder holds no results, or a file is damaged.
    """
    runs = read_runs(workdirs)
    title = " against ".join(
        run.name if len(runs) > 1 else str(run.meta.get("name", run.name))
        for run in runs
    )
    line, findings = verdict(runs)
    drawn = figures(runs)
    page = render(title, line, findings, sections(runs, drawn))
    write_text(output, page)
    write_text(output.with_suffix(".md"), markdown(title, line, findings, runs))
    if for_papers:
        write_figures(drawn, output.parent / "figures")


def report_if_wanted(config: Config, workdir: pathlib.Path) -> None:
    """Write `report.html` at the end of a run; if that fails, results stand.

    Args:
        config: Of the run; `report` says whether.
        workdir: Its folder.
    """
    if not config.report:
        return
    output = workdir / "report.html"
    try:
        write_report([workdir], output)
    except Exception as error:  # noqa: BLE001 (whatever it is, results stand)
        logging.warning(
            "No report of %s: %s: %s. The results are complete; try again with "
            "python -m experiments.report --workdir=%s",
            workdir, type(error).__name__, error, workdir,
        )  # fmt: skip
    else:
        print(f"Report in {output}.")

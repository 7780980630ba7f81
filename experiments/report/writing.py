"""From the folders of runs to the files of a report."""

import pathlib
from collections.abc import Sequence

from experiments.config_errors import ConfigError
from experiments.report.markdown import markdown
from experiments.report.page import render
from experiments.report.paper_figures import write_figures
from experiments.report.run_files import JSON_FILES, read_runs
from experiments.report.sections import figures, sections
from experiments.report.verdict import verdict
from experiments.whole_files import write_text


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
    try:
        line, findings = verdict(runs)
        drawn = figures(runs)
        page = render(title, line, findings, sections(runs, drawn))
        text = markdown(title, line, findings, runs)
    except Exception as error:  # of values that no run writes, in a file edited or cut
        where = ", ".join(map(str, workdirs))
        raise ConfigError(
            f"{where}: one of {', '.join(JSON_FILES)} holds what no report can be made "
            f"of: {type(error).__name__}: {error}."
        ) from error
    write_text(page, output)
    write_text(text, output.with_suffix(".md"))
    if for_papers:
        write_figures(drawn, output.parent / "figures")

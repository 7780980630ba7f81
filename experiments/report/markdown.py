"""The headline as Markdown, for a README or a paper's draft."""

import re
from collections.abc import Sequence

from experiments.report import wording
from experiments.report.headline import headlines
from experiments.report.page import MARKS, Finding
from experiments.report.run_files import Run


def markdown(
    title: str, verdict: str, findings: Sequence[Finding], runs: Sequence[Run]
) -> str:
    """Verdict and headline table as text.

    Args:
        title: Of the report.
        verdict: One line: what came out.
        findings: What holds and what failed.
        runs: Of the report.
    """
    lines = [f"# {_plain(title)}", "", f"**{_plain(verdict)}.** Research only.", ""]
    for finding in findings:
        mark = f"{MARKS[finding.status]}: " if MARKS[finding.status] else ""
        lines.append(f"- {mark}**{_plain(finding.about)}**: {_plain(finding.text)}")
    header = ["accuracy in % [95 % interval]", "norm, epsilon", *wording.PROTOCOLS]
    lines += ["", _row(header), _row(["---"] * len(header))]
    for headline in headlines(runs):
        at = wording.radius(headline.epsilon, headline.run.width)
        cells = [headline.label, f"{wording.norm_name(headline.norm)} {at}"]
        for protocol in wording.PROTOCOLS:
            row = headline.rows.get(protocol)
            cells.append(_accuracy(row) if row else wording.percent(None))
        lines.append(_row([_plain(cell) for cell in cells]))
    return "\n".join(lines) + "\n"


def _accuracy(row) -> str:
    ends = f"{wording.percent(row['ci_low'])}, {wording.percent(row['ci_high'])}"
    return f"{wording.percent(row['accuracy'])} [{ends}], n {row['n']}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text without meaning to Markdown or HTML, on one line."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", " ".join(text.split()))

"""Tables of `docs/audit.md`, from the audits' results.

    python -m docs.figures.audit_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write

PAGE = DOCS / "audit.md"
_SIMULATED, _ALL, _MATCHED = "`quickstart`", "DMR-IR", "DMR-IR, 135 to 300"

Set = Mapping[str, Any]


def sets() -> dict[str, Set]:
    """The audited sets by their name in the page."""
    real = read_results("audit_dmr_ir")["sets"]
    return {
        _SIMULATED: read_results("audit_quickstart")["sets"]["all"],
        _ALL: real["all"],
        _MATCHED: real["135:300"],
    }


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {"findings": findings_table(sets()), "copies": copies_table(sets())}


def findings_table(audited: Mapping[str, Set]) -> str:
    """A row a finding, a column a set: status, and area under the curve."""
    names = [finding["title"] for finding in audited[_SIMULATED]["findings"]]
    columns = [
        {finding["title"]: finding for finding in one["findings"]}
        for one in audited.values()
    ]
    cells = [[name, *(_cell(column[name]) for column in columns)] for name in names]
    patients = [
        " + ".join(str(count) for count in one["patients_by_label"])
        for one in audited.values()
    ]
    return table(["", *audited], [["healthy + ill patients", *patients], *cells])


def _cell(finding: Mapping[str, Any]) -> str:
    status = finding["status"].replace("_", " ")
    status = f"**{status}**" if status in ("fail", "warn") else status
    evidence = finding["evidence"]
    if "ci_low" not in evidence:
        return status
    auc, low, high = (evidence[name] for name in ("auc", "ci_low", "ci_high"))
    return f"{status} {auc:.3f} ({low:.3f} to {high:.3f})"


def copies_table(audited: Mapping[str, Set]) -> str:
    """Share of changed copies that would be found, in percent."""
    changes = audited[_SIMULATED]["copies_found"]
    cells = [
        [change, *(f"{one['copies_found'][change]:.0%}" for one in audited.values())]
        for change in changes
    ]
    return table(["change", *audited], cells)


if __name__ == "__main__":
    write(PAGE, tables())

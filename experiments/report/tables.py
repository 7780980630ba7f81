"""Tables of a report."""

from collections.abc import Sequence
from typing import Any

from experiments.report import wording
from experiments.report.headline import Headline, label
from experiments.report.page import Cell, Table, as_json
from experiments.report.run_files import Record, Run
from wbad_jax.evaluation import Row

_STATUS_ORDER = {"fail": 0, "warn": 1, "not_run": 2, "pass": 3}
# Columns that newer results have: in the table where any row has a value.
_SHARES = {
    "sensitivity": "sensitivity, %",
    "specificity": "specificity, %",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity, %",
}
_NUMBERS = {
    "auc": "AUC",
    "brier": "Brier",
    "ece": "ECE",
    "calibration_slope": "calibration slope",
}


def headline_table(headlines: Sequence[Headline]) -> Table:
    """Clean, graybox and adaptive accuracy of each arm, side by side."""
    rows = []
    for headline in headlines:
        at = wording.radius(headline.epsilon, headline.run.width, headline.norm)
        cells = [Cell(headline.label, below=at if headline.norm else "not attacked")]
        for protocol in wording.PROTOCOLS:
            row = headline.rows.get(protocol)
            cells.append(_accuracy(row, "\n") if row else Cell(wording.percent(None)))
        rows.append(cells)
    return Table(
        slug="headline",
        caption="Accuracy in %, with count and 95 % interval. Attacked: per image the "
        "worst of all attacks of the protocol within epsilon.",
        columns=["arm, epsilon", *wording.PROTOCOLS],
        rows=rows,
    )


def _accuracy(row: Row, between: str = "; ") -> Cell:
    below = f"{wording.count(row)}{between}{wording.interval(row)}"
    return Cell(wording.percent(row["accuracy"]), row["accuracy"], below=below)


def results_table(runs: Sequence[Run]) -> Table:
    """Every row of the results."""
    several = len(runs) > 1
    rows = [(run, row) for run in runs for row in run.rows]

    def present(names: dict[str, str]) -> dict[str, str]:
        some = {n for n in names for _, row in rows if row.get(n) is not None}
        return {name: title for name, title in names.items() if name in some}

    shares, numbers = present(_SHARES), present(_NUMBERS)
    columns = [
        "arm", "set", "protocol", "attack", "norm", "unit", "epsilon", "°C", "n",
        "accuracy, %", *shares.values(), *numbers.values(), "median distance",
        "ceiling, %",
    ]  # fmt: skip
    cells = []
    for run, row in rows:
        line = [Cell(label(run, row["arm"], several=several)), Cell(row["set"])]
        line += [Cell(row["protocol"]), Cell(row["attack"])]
        line += [Cell(wording.norm_name(row["norm"])), Cell(row["unit"])]
        line += [_number(row[name], 3) for name in ("epsilon", "epsilon_celsius")]
        line += [_n(row), _accuracy(row)]
        line += [_share(row.get(name)) for name in shares]
        line += [_auc(row) if n == "auc" else _number(row.get(n), 3) for n in numbers]
        line += [_number(row.get("median_distance"), 3), _share(row.get("ceiling"))]
        cells.append(line)
    return Table(
        slug="results",
        caption="All results, with 95 % intervals. An attack that was run only on "
        "images that withstood the attacks before it says on how many under n.",
        columns=columns,
        rows=cells,
        filters=range(6),
        tall=True,
    )


def _n(row: Row) -> Cell:
    tried = row.get("evaluated_on", row["n"])
    return Cell(
        str(row["n"]), row["n"], below="" if tried == row["n"] else f"on {tried}"
    )


def _auc(row: Row) -> Cell:
    cell = _number(row.get("auc"), 3)
    low, high = row.get("auc_low"), row.get("auc_high")
    below = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return Cell(cell.text, cell.value, below=below)


def _number(value: float | None, digits: int) -> Cell:
    return Cell(wording.number(value, digits), value)


def _share(value: float | None) -> Cell:
    return Cell(wording.percent(value), value)


def comparison_table(runs: Sequence[Run]) -> Table:
    """Paired differences between arms."""
    rows = []
    for run in runs:
        for c in run.comparisons:
            arms = [
                label(run, c[n], several=len(runs) > 1) for n in ("arm", "reference")
            ]
            at = wording.radius(c["epsilon"], run.width)
            interval = (
                f"{wording.points(c['ci_low'])} to {wording.points(c['ci_high'])}"
            )
            rows.append(
                [
                    *map(Cell, arms),
                    *(Cell(c[name]) for name in ("protocol", "attack")),
                    Cell(wording.norm_name(c["norm"]), below=at if c["norm"] else ""),
                    Cell(
                        wording.points(c["difference"]), c["difference"], below=interval
                    ),
                    Cell(wording.p_value(c["p_value"]), c["p_value"]),
                    Cell(wording.p_value(c["p_holm"]), c["p_holm"]),
                    Cell(str(c["n"]), c["n"]),
                ]
            )
    return Table(
        slug="comparisons",
        caption="Accuracy of the arm minus that of the reference, in points, paired, "
        "with 95 % interval; p-values without and with Holm's correction.",
        columns=[
            "arm", "reference", "protocol", "attack", "norm", "difference", "p",
            "p, Holm", "n",
        ],
        rows=rows,
        filters=(0, 1, 2, 3),
        tall=len(rows) > 15,
    )  # fmt: skip


def status_table(
    runs: Sequence[Run], slug: str, caption: str, items: Sequence[Sequence[Record]]
) -> Table:
    """Checks or findings, failed ones first.

    Args:
        runs: Of the report.
        slug: Name of the table.
        caption: What it shows.
        items: Of each run: records with `id`, `title`, `status` and `sentence`.
    """
    pairs = [(run, item) for run, own in zip(runs, items, strict=True) for item in own]
    pairs.sort(key=lambda pair: _STATUS_ORDER.get(pair[1]["status"], 0))
    rows = [
        [
            Cell("", _STATUS_ORDER.get(item["status"], 0), item["status"]),
            Cell(item["id"]),
            Cell(label(run, item.get("arm") or "all", several=len(runs) > 1)),
            Cell(item["title"], below=item["sentence"]),
        ]
        for run, item in pairs
    ]
    columns = ["status", "id", "of", "what was found"]
    return Table(slug=slug, caption=caption, columns=columns, rows=rows)


def evidence(items: Sequence[Record]) -> str:
    """Numbers behind checks or findings, as text."""
    return "\n".join(
        f"{item['id']} ({item.get('arm') or 'all'}): {as_json(item['evidence'])}"
        for item in items
        if item.get("evidence")
    )


def detection_table(runs: Sequence[Run]) -> Table:
    """AUC of each detector."""
    rows = []
    for run in runs:
        for d in (run.detection or {}).get("detectors", []):
            interval = (
                f"{wording.number(d['ci_low'], 3)} to {wording.number(d['ci_high'], 3)}"
            )
            rows.append(
                [
                    Cell(label(run, d["arm"], several=len(runs) > 1)),
                    Cell(d["score"]),
                    Cell(d["attack"]),
                    Cell(
                        wording.norm_name(d["norm"]),
                        below=wording.radius(d["epsilon"], run.width),
                    ),
                    Cell("yes" if d["aware"] else "no"),
                    Cell(wording.number(d["auc"], 3), d["auc"], below=interval),
                    _share(d.get("broken_and_undetected")),
                ]
            )
    return Table(
        slug="detection",
        caption="AUC of telling attacked from clean images, with 95 % interval; the "
        "share of all images that the attacker gets wrong without being flagged.",
        columns=[
            "arm", "score", "attack", "norm", "attacker knows", "AUC",
            "broken and undetected, %",
        ],
        rows=rows,
        filters=(0, 1, 4),
        tall=len(rows) > 15,
    )  # fmt: skip


def provenance_table(runs: Sequence[Run]) -> Table:
    """Where the numbers come from, one column a run."""
    columns = [_provenance(run) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [
        [Cell(name), *(Cell(column.get(name, "")) for column in columns)]
        for name in names
    ]
    return Table(
        slug="provenance",
        caption="What ran, on what, from what.",
        columns=["", *(run.name for run in runs)],
        rows=rows,
    )


def _provenance(run: Run) -> dict[str, str]:
    meta, config = run.meta, run.config or {}
    values: dict[str, Any] = {
        "config": meta.get("name"),
        "command": config.get("command"),
        "commit": meta.get("commit"),
        "seed": meta.get("seed"),
        "evaluated with": meta.get("overrides") or None,
        "data": " ".join(str(v) for v in (meta.get("data") or {}).values()),
        "examples": meta.get("num_examples"),
        "temperature window, °C": meta.get("window_celsius"),
        "graybox images from": meta.get("surrogate"),
        "device": meta.get("device"),
        "processes": meta.get("processes"),
        "computed in": meta.get("compute_dtype"),
        "parameters": meta.get("num_parameters"),
        "versions": meta.get("versions"),
        "SHA-256 of the parameters": meta.get("parameters_sha256"),
    }
    return {
        name: wording.words(value)
        for name, value in values.items()
        if value is not None
    }

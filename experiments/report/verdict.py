"""What holds and what failed, in words; failures come first."""

from collections.abc import Iterator, Sequence

from experiments.report import wording
from experiments.report.evidence_figures import faults
from experiments.report.headline import (
    Headline,
    constant_accuracy,
    headlines,
    is_headline,
    label,
    main_rows,
)
from experiments.report.page import Finding
from experiments.report.run_files import Record, Run
from experiments.report.wording import (
    accuracy,
    p_value,
    percent,
    points,
    radius,
)

_ORDER = ("fail", "warn", "note", "pass")


def verdict(runs: Sequence[Run]) -> tuple[str, list[Finding]]:
    """One line, and the findings behind it, gravest first."""
    findings = [f for run in runs for f in _of_run(run, several=len(runs) > 1)]
    findings += [f for headline in headlines(runs) for f in _of_headline(headline)]
    findings += [f for run in runs for f in _of_comparisons(run, len(runs) > 1)]
    # Stable: within a status, the order of above.
    findings.sort(key=lambda finding: _ORDER.index(finding.status))
    return _line(runs, findings), findings


def _line(runs: Sequence[Run], findings: Sequence[Finding]) -> str:
    checks = [c for run in runs for c in (run.checks or {}).get("checks", [])]
    failed = sum(check["status"] == "fail" for check in checks)
    ran = sum(check["status"] != "not_run" for check in checks)
    if failed:
        return f"{failed} of {ran} checks failed: do not trust the accuracies below"
    if any(finding.status == "fail" for finding in findings):
        return "Something failed: do not trust the accuracies below"
    if not ran:
        return "Not checked: the accuracies below may be an effect of weak attacks"
    return f"All {ran} checks that were run passed"


def _of_run(run: Run, *, several: bool) -> Iterator[Finding]:
    """Checks, audit, certificates and bounds."""
    checks = (run.checks or {}).get("checks", [])
    findings = (run.audit or {}).get("findings", [])
    yield from _failures(run, [*checks, *findings], several)
    for curve in (run.certificates or {}).get("curves", []):
        about = label(run, f"certificates of {curve['arm']}", several=several)
        for fault in faults(curve):
            yield Finding("fail", about, f"{fault} (sigma {curve['sigma']:.3g}).")
    for found in run.meta.get("pair_bound_violations") or []:
        at = radius(found["epsilon"], run.width, found["norm"])
        yield Finding(
            "fail",
            label(run, found["arm"], several=several),
            f"{percent(found['accuracy'])} % under adaptive attacks at {at}, where no "
            f"classifier can exceed {percent(found['ceiling'])} %. An attack is too "
            "weak, or labels leak.",
        )
    for name, items, missing in (
        ("checks of the evaluation", checks, "masked gradients were not looked for."),
        ("audit of the data", findings, "not done."),
    ):
        about = label(run, name, several=several)
        yield _counts(items, about) if items else Finding("warn", about, missing)


def _counts(items: Sequence[Record], about: str) -> Finding:
    """How many passed; marked as passed if none did worse."""
    named = {"pass": "passed", "fail": "failed", "warn": "warned", "not_run": "not run"}
    counts = {s: sum(item["status"] == s for item in items) for s in named}
    told = ", ".join(f"{n} {named[s]}" for s, n in counts.items() if n)
    clear = counts["pass"] and not counts["fail"] + counts["warn"]
    return Finding("pass" if clear else "note", about, f"{told}.")


def _failures(run: Run, items: Sequence[Record], several: bool) -> Iterator[Finding]:
    for item in items:
        if item["status"] in ("fail", "warn"):
            arm = f" ({item['arm']})" if item.get("arm") else ""
            about = label(run, item["title"] + arm, several=several)
            yield Finding(item["status"], about, item["sentence"])


_NOT_ADAPTIVE = "It was not attacked by an attacker who knows the defence."


def _of_headline(headline: Headline) -> Iterator[Finding]:
    """The accuracies of an arm in Linf, and what their pattern says."""
    if headline.norm != "linf":
        return
    rows = headline.rows
    clean, graybox, adaptive = (rows.get(p) for p in wording.PROTOCOLS)
    at = radius(headline.epsilon, headline.run.width, headline.norm)
    parts = [f"{protocol} {accuracy(row)}" for protocol, row in rows.items()]
    told = [f"{', '.join(parts)} at {at}."]
    told += [_collapse(headline, adaptive) if adaptive else _NOT_ADAPTIVE]
    if graybox and adaptive and adaptive["ci_high"] < graybox["ci_low"]:
        gap = percent(graybox["accuracy"] - adaptive["accuracy"])
        told.append(
            f"Graybox is {gap} points above adaptive: images made on an undefended "
            "network overstate its robustness. Quote the adaptive number."
        )
    told = [sentence for sentence in told if sentence]
    status = "warn" if len(told) > 1 else "note"
    yield Finding(status, headline.label, " ".join(told))
    if clean and graybox and graybox["ci_low"] > clean["ci_high"]:
        yield Finding(
            "fail",
            headline.label,
            "graybox accuracy is above clean accuracy beyond the intervals. Attacked "
            "images cannot be easier.",
        )


def _collapse(headline: Headline, adaptive: Record) -> str:
    """Told where an arm is worse than a constant answer; nothing otherwise."""
    constant = constant_accuracy(headline.run)
    if constant is None or adaptive["ci_high"] >= constant:
        return ""
    single = [
        f"{row['attack']} {percent(row['accuracy'])} %"
        for row in main_rows(headline.run)
        if row["arm"] == headline.arm
        and row["protocol"] == "adaptive"
        and row["attack"] != "worst_case"
        and row["norm"] == headline.norm
        and row["epsilon"] == adaptive["epsilon"]
        and row["ci_high"] < constant
        and row.get("evaluated_on", row["n"]) == row["n"]
    ]
    alone = f" Single attacks that suffice: {', '.join(single)}." if single else ""
    return (
        "It collapses under adaptive attacks: a constant answer is right on "
        f"{percent(constant)} %.{alone}"
    )


def _of_comparisons(run: Run, several: bool) -> Iterator[Finding]:
    """Adaptive differences at the headline epsilon in Linf."""
    for c in run.comparisons:
        kind = (c["protocol"], c["norm"], c["attack"])
        if kind != ("adaptive", "linf", "worst_case"):
            continue
        if is_headline(run, "linf", c["epsilon"]):
            arm = label(run, c["arm"], several=several)
            ends = f"[{points(c['ci_low'])}, {points(c['ci_high'])}]"
            sure = c["ci_low"] > 0 or c["ci_high"] < 0
            yield Finding(
                "note",
                f"{arm} against {c['reference']}, adaptive",
                f"{points(c['difference'])} points {ends} (paired, n {c['n']}; p "
                f"{p_value(c['p_holm'])} after Holm)."
                + ("" if sure else " No difference is shown."),
            )

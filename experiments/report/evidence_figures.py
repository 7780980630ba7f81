"""Figures of certificates, detection, and thresholds over training."""

import re
from collections.abc import Iterator, Sequence

from experiments.report import wording
from experiments.report.charts import (
    COLOURS,
    GREY,
    MARKERS,
    Axis,
    Curve,
    Figure,
    Panel,
    Style,
    percent_axis,
    radius_axis,
)
from experiments.report.headline import label
from experiments.report.run_files import Record, Run

_DASHES = {"horizontal": "solid", "vertical": "dash", "diagonal": "dashdot"}
_THRESHOLD = re.compile(r"threshold/level(\d+)/([a-z]+)(/channel\d+)?")


def certificates(runs: Sequence[Run]) -> Figure | None:
    """Certified and empirical accuracy against the L2 radius, one panel an arm."""
    groups: dict[str, list[tuple[Run, Record]]] = {}
    for run in runs:
        for curve in (run.certificates or {}).get("curves", []):
            name = label(run, curve["arm"], several=len(runs) > 1)
            groups.setdefault(name, []).append((run, curve))
    if not groups:
        return None
    return Figure(
        slug="certificates",
        title="Certificates",
        caption="Randomized smoothing. Solid: share of images that are right and "
        "certified to stay right within the radius, with 95 % intervals. Dotted: "
        "share that an attack on the smoothed classifier leaves right. A solid curve "
        "above its dotted one is an error.",
        panels=[_certificate_panel(name, group) for name, group in groups.items()],
    )


def _certificate_panel(name: str, group: list[tuple[Run, Record]]) -> Panel:
    curves = []
    for i, (run, record) in enumerate(group):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        trained = "trained with noise" if record["noise_trained"] else "as trained"
        of = f"sigma {record['sigma']:.3g}, {trained}"
        radii = record["radius"]
        at = [wording.radius(float(r), run.width, "l2") for r in radii]
        certified = record["certified_accuracy"]
        curves.append(
            Curve(
                name=f"certified, {of}",
                x=radii,
                y=certified,
                low=record["ci_low"],
                high=record["ci_high"],
                labels=_shares(at, certified, f"of {record['n']} certified"),
                style=Style(colour),
            )
        )
        attacked = record.get("empirical_accuracy")
        if attacked:
            curves.append(
                Curve(
                    name=f"attacked, {of}",
                    x=radii,
                    y=attacked,
                    labels=_shares(at, attacked, "right under attack"),
                    style=Style(colour, "dot", marker),
                )
            )
    largest = max(x for curve in curves for x in curve.x) or 1.0
    return Panel(
        title=name,
        x=radius_axis("radius (L2)", largest, group[0][0].width),
        y=percent_axis("accuracy"),
        curves=curves,
    )


def _shares(at: list[str], values: Sequence[float | None], words: str) -> list[str]:
    return [
        f"{where}\n{wording.percent(value)} % {words}"
        for where, value in zip(at, values, strict=True)
    ]


def faults(record: Record) -> Iterator[str]:
    """What is wrong with the certificates of a curve: nothing, if all is well."""
    told = {
        "violations": "{} certificates were refuted by an attack",
        "contradictory_twins": "{} pairs of twins have certificates that contradict",
        "radii_above_pair_bound": "at radii {} more is certified than is possible",
    }
    for name, words in told.items():
        found = record.get("checks", {}).get(name)
        if found:
            yield words.format(wording.words(found))
    attacked = record.get("empirical_accuracy")
    if attacked:
        # Where a judge abstains, the attack has not refuted the certificate.
        undecided = record.get("empirical_undecided") or [0.0] * len(attacked)
        columns = (record["radius"], record["certified_accuracy"], attacked, undecided)
        crossed = [r for r, c, a, u in zip(*columns, strict=True) if c > a + u + 1e-9]
        if crossed:
            radii = wording.words(crossed)
            yield f"at radii {radii} more is certified than an attack leaves right"


def detection(runs: Sequence[Run]) -> Figure | None:
    """ROC of telling attacked images from clean ones, one panel an arm."""
    groups: dict[str, list[Record]] = {}
    for run in runs:
        for record in (run.detection or {}).get("detectors", []):
            if record["fpr"]:  # empty where no image was fooled
                name = label(run, record["arm"], several=len(runs) > 1)
                groups.setdefault(name, []).append(record)
    if not groups:
        return None
    return Figure(
        slug="detection",
        title="Detection",
        caption="Telling attacked images from clean ones by a score. Solid: the "
        "attacker does not know of the detector. Dotted: the attacker also minimises "
        "the score; this is the one to quote.",
        panels=[_detection_panel(name, group) for name, group in groups.items()],
    )


def _detection_panel(name: str, group: list[Record]) -> Panel:
    scores = list(dict.fromkeys(record["score"] for record in group))
    curves = []
    for record in group:
        colour = COLOURS[scores.index(record["score"]) % len(COLOURS)]
        aware = "aware" if record["aware"] else "unaware"
        labels = [
            f"detected {wording.percent(t)} %\nfalse alarms {wording.percent(f)} %"
            for f, t in zip(record["fpr"], record["tpr"], strict=True)
        ]
        curves.append(
            Curve(
                name=f"{record['score']}, {record['attack']} "
                f"{wording.norm_name(record['norm'])} {aware}, "
                f"AUC {wording.number(record['auc'], 3)}",
                x=record["fpr"],
                y=record["tpr"],
                labels=labels,
                style=Style(colour, "dot" if record["aware"] else "solid"),
            )
        )
    diagonal = Curve(
        name="chance", x=(0, 1), y=(0, 1), style=Style(GREY, "dash"), labels=("", "")
    )
    return Panel(
        title=name,
        x=percent_axis("clean images flagged"),
        y=percent_axis("attacked images flagged"),
        curves=[*curves, diagonal],
    )


def thresholds(runs: Sequence[Run]) -> Figure | None:
    """Trained thresholds over the steps, one panel an arm and level."""
    panels = []
    for run in runs:
        groups: dict[tuple[str, int], list[Curve]] = {}
        for arm in dict.fromkeys(line["run"] for line in run.metrics):
            lines = [
                line
                for line in run.metrics
                if line["run"] == arm and "threshold/collapsed" in line
            ]
            for name in lines[-1] if lines else ():
                found = _THRESHOLD.fullmatch(name)
                if found:
                    curves = groups.setdefault((arm, int(found[1])), [])
                    curves.append(_threshold_curve(lines, name, found))
        for (arm, level), curves in sorted(groups.items()):
            finest = ", finest" if level == 1 else ""
            title = f"{label(run, arm, several=len(runs) > 1)}, level {level}{finest}"
            x, y = Axis("training step"), Axis("threshold, multiples of sigma")
            panels.append(Panel(title=title, x=x, y=y, curves=curves))
    if not panels:
        return None
    return Figure(
        slug="thresholds",
        title="Thresholds over training",
        caption="In multiples of the noise level sigma; predicted thresholds as mean "
        "over validation images, with the band of 10 to 90 %. A threshold of 0 "
        "removes nothing.",
        panels=panels,
    )


def _threshold_curve(lines: list[Record], name: str, found: re.Match) -> Curve:
    orientation, channel = found[2], (found[3] or "").replace("/", " ")
    index = list(_DASHES).index(orientation) if orientation in _DASHES else 0
    steps = [line["step"] for line in lines]
    values = [line[name] for line in lines]
    ends: list[list[float] | None] = [None, None]
    if f"{name}/quantile10" in lines[-1]:
        ends = [[line[f"{name}/quantile{q}"] for line in lines] for q in (10, 90)]
    labels = [f"step {s}\n{v:.3f} sigma" for s, v in zip(steps, values, strict=True)]
    style = Style(COLOURS[index], _DASHES.get(orientation, "solid"), MARKERS[index])
    return Curve(
        name=orientation + channel, x=steps, y=values, low=ends[0], high=ends[1],
        labels=labels, style=style,
    )  # fmt: skip

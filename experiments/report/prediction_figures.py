"""Figures of predictions.parquet: ROC, calibration, kinds of errors, distances."""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy

from experiments.report import wording
from experiments.report.charts import (
    COLOURS,
    GREY,
    Axis,
    Curve,
    Figure,
    Panel,
    Style,
    percent_axis,
    radius_axis,
    styles,
)
from experiments.report.headline import headline_outcomes, label
from experiments.report.run_files import Run
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome
from wbad_jax.evaluation.metrics import POSITIVE

_MINIMAL_NORM = ("cw", "ddn", "fab", "fmn")
_BINS = 10
Conditions = dict[tuple[str, str | None], dict[str, Outcome]]


def prediction_figures(runs: Sequence[Run]) -> list[Figure]:
    """All that can be drawn of the predictions of some runs."""
    conditions: Conditions = {}
    for run in runs:
        for (arm, protocol, norm), outcome in headline_outcomes(run).items():
            by_arm = conditions.setdefault((protocol, norm), {})
            by_arm[label(run, arm, several=len(runs) > 1)] = outcome
    order = sorted(
        conditions, key=lambda key: (wording.PROTOCOLS.index(key[0]), key[1] != "linf")
    )
    conditions = {key: conditions[key] for key in order}
    # Beside the errors, graybox says little that the clean images do not.
    chosen = {key: o for key, o in conditions.items() if key[0] != "graybox"}
    figures = [
        _errors(conditions),
        _rocs(chosen),
        _calibration(chosen),
        _distances(runs),
    ]
    return [figure for figure in figures if figure.panels]


def _title(protocol: str, norm: str | None) -> str:
    if norm is None:
        return protocol
    return f"{protocol}, worst case in {wording.norm_name(norm)}"


def _short(protocol: str, norm: str | None) -> str:
    return protocol if norm is None else f"{protocol}, {wording.norm_name(norm)}"


def _errors(conditions: Conditions) -> Figure:
    """Missed cancers and false alarms, one place a condition and arm."""
    places = {
        f"{name}\n{_short(*key)}": outcome
        for key, by_arm in conditions.items()
        for name, outcome in by_arm.items()
    }
    panel = Panel(
        title="share of a class that is called wrong",
        x=percent_axis("share"),
        y=Axis(""),
        curves=list(_error_curves(list(places.values()))),
        categories=list(places),
    )
    return Figure(
        slug="errors",
        title="Direction of errors",
        caption="Share of the tumours called healthy (missed cancer, the graver harm), "
        "and share of the healthy called tumour (false alarm), with 95 % intervals, "
        "at the headline epsilon.",
        panels=[panel] if places else [],
    )


def _error_curves(outcomes: Sequence[Outcome]) -> Iterator[Curve]:
    kinds = (("missed cancer", True, "circle"), ("false alarm", False, "diamond"))
    for i, (name, positive, marker) in enumerate(kinds):
        x, y, low, high, labels = [], [], [], [], []
        for place, outcome in enumerate(outcomes):
            of_class = (outcome.labels == POSITIVE) == positive
            wrong = (np.argmax(outcome.logits, axis=-1) == POSITIVE) != positive
            n, k = int(of_class.sum()), int((wrong & of_class).sum())
            if not n:
                continue
            ends = evaluation.wilson_interval(k, n)
            x.append(k / n)
            y.append(place + 0.15 * (2 * i - 1))
            low.append(ends[0])
            high.append(ends[1])
            labels.append(f"{k} of {n}, {wording.percent(k / n)} %")
        style = Style(COLOURS[1 - i], "solid", marker)
        yield Curve(
            name=name, x=x, y=y, low=low, high=high, labels=labels, style=style,
            joined=False,
        )  # fmt: skip


def score(outcome: Outcome) -> np.ndarray:
    """Logit of a tumour minus the largest other, `[n]`."""
    others = np.delete(outcome.logits, POSITIVE, axis=-1)
    return outcome.logits[:, POSITIVE] - others.max(axis=-1)


def _rocs(conditions: Conditions) -> Figure:
    diagonal = Curve(
        name="chance", x=(0, 1), y=(0, 1), style=Style(GREY, "dot"), labels=("", "")
    )
    panels = []
    for key, by_arm in conditions.items():
        looks = styles(by_arm)
        curves = [
            curve
            for name, outcome in by_arm.items()
            for curve in _roc(name, outcome, looks[name])
        ]
        panels.append(
            Panel(
                title=_title(*key),
                x=percent_axis("100 - specificity"),
                y=percent_axis("sensitivity"),
                curves=[*curves, diagonal],
            )
        )
    return Figure(
        slug="roc",
        title="ROC",
        caption="Sensitivity against false alarms over all thresholds. Under attack, "
        "the images are those that harm the decision at the deployed threshold most.",
        panels=panels,
    )


def _roc(name: str, outcome: Outcome, style: Style) -> Iterator[Curve]:
    from sklearn import metrics  # here: slow to import

    positive = outcome.labels == POSITIVE
    if positive.all() or not positive.any():
        return
    scores = score(outcome)
    false, true, _ = metrics.roc_curve(positive, scores)
    auc = metrics.roc_auc_score(positive, scores)
    labels = [
        f"sensitivity {wording.percent(t)} %\nspecificity {wording.percent(1 - f)} %"
        for f, t in zip(false, true, strict=True)
    ]
    plain = Style(style.colour, "solid", None)
    yield Curve(
        name=f"{name}, AUC {auc:.3f}", x=false, y=true, labels=labels, style=plain
    )


def _calibration(conditions: Conditions) -> Figure:
    ideal = Curve(
        name="ideal", x=(0, 1), y=(0, 1), style=Style(GREY, "dot"), labels=("", "")
    )
    panels = []
    for key, by_arm in conditions.items():
        looks = styles(by_arm)
        curves = [_reliability(name, o, looks[name]) for name, o in by_arm.items()]
        panels.append(
            Panel(
                title=_title(*key),
                x=percent_axis("predicted probability of a tumour"),
                y=percent_axis("share of tumours"),
                curves=[*curves, ideal],
            )
        )
    return Figure(
        slug="calibration",
        title="Calibration",
        caption=f"Images in {_BINS} groups of equal size by predicted probability; "
        "bands are 95 % intervals of the share of tumours in a group. On the dotted "
        "line predictions mean what they say.",
        panels=panels,
    )


def _reliability(name: str, outcome: Outcome, style: Style) -> Curve:
    logits = outcome.logits.astype(np.float64)
    probability = scipy.special.softmax(logits, axis=-1)[:, POSITIVE]
    order = np.argsort(probability, kind="stable")
    groups = [g for g in np.array_split(order, min(_BINS, len(order))) if len(g)]
    counts = [int((outcome.labels[g] == POSITIVE).sum()) for g in groups]
    ends = [
        evaluation.wilson_interval(k, len(g))
        for k, g in zip(counts, groups, strict=True)
    ]
    means = [float(probability[g].mean()) for g in groups]
    shares = [k / len(g) for k, g in zip(counts, groups, strict=True)]
    labels = [
        f"predicted {wording.percent(mean)} %\n{k} tumours of {len(g)}"
        for mean, k, g in zip(means, counts, groups, strict=True)
    ]
    low, high = ([pair[i] for pair in ends] for i in (0, 1))
    return Curve(
        name=name, x=means, y=shares, low=low, high=high, labels=labels, style=style
    )


def _distances(runs: Sequence[Run]) -> Figure:
    """Share of images broken within a distance, by minimal-norm attacks."""
    groups: dict[tuple[str, str], dict[str, tuple[Run, Outcome, float]]] = {}
    for run in runs:
        for outcome in run.outcomes:
            at = outcome.condition
            wanted = at.attack in _MINIMAL_NORM and at.protocol == "adaptive"
            if wanted and at.norm and at.epsilon is not None and at.set == run.main_set:
                by_arm = groups.setdefault((at.attack, at.norm), {})
                name = label(run, at.arm, several=len(runs) > 1)
                before = by_arm.get(name)
                if before is None or before[2] < at.epsilon:
                    by_arm[name] = (run, outcome, at.epsilon)
    return Figure(
        slug="distances",
        title="Distances",
        caption="Attacks that look for the closest image with a wrong decision: the "
        "share of images that are wrong within a distance. Images that are wrong "
        "without attack count from 0. Of the images that the attack was run on; a "
        "curve ends at the largest radius tried.",
        panels=[_distance_panel(*key, by_arm) for key, by_arm in groups.items()],
    )


def _distance_panel(attack: str, norm: str, by_arm) -> Panel:
    looks = styles(by_arm)
    curves = []
    for name, (run, outcome, end) in by_arm.items():
        tried = getattr(outcome, "attacked", np.ones(len(outcome.labels), bool))
        reached = np.sort(outcome.distance[~outcome.correct & tried])
        reached = reached[reached <= 1.001 * end]
        n = max(int(tried.sum()), 1)
        at = np.concatenate([[0.0], reached, [end]])
        broken = np.concatenate([[0], np.arange(1, len(reached) + 1), [len(reached)]])
        x, y = at.tolist(), (broken / n).tolist()
        labels = [
            f"{wording.radius(radius, run.width, norm)}\n{k} of {n} wrong, "
            f"{wording.percent(k / n)} %"
            for radius, k in zip(x, broken, strict=True)
        ]
        style = Style(looks[name].colour, "solid", None)
        curves.append(Curve(name=name, x=x, y=y, labels=labels, style=style))
    largest = max(curve.x[-1] for curve in curves)
    run = next(iter(by_arm.values()))[0]
    return Panel(
        title=f"{attack}, {wording.norm_name(norm)}",
        x=radius_axis(f"distance ({wording.norm_name(norm)})", largest, run.width),
        y=percent_axis("wrong decisions"),
        curves=curves,
    )

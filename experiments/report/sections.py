"""What stands in a report, in order; a part without its file says how to make it."""

from collections.abc import Sequence

from experiments.report import accuracy_figures, evidence_figures, gallery, tables
from experiments.report.charts import Figure
from experiments.report.headline import headlines, label
from experiments.report.page import Block, Details, Note, Section, as_json
from experiments.report.prediction_figures import prediction_figures
from experiments.report.run_files import Run

# What writes a file, by its name.
_MAKERS = {
    "results.json": "python -m experiments.evaluate --workdir={}",
    "checks.json": "python -m experiments.evaluate --workdir={}",
    "certificates.json": "python -m experiments.certify --workdir={}",
    "detection.json": "python -m experiments.detect --workdir={}",
    "gallery-<arm>.npz": "python -m experiments.evaluate --workdir={}",
    "predictions.parquet": "python -m experiments.evaluate --workdir={}",
    "audit.json": "python -m experiments.audit --config=CONFIG --output={}",
}


def figures(runs: Sequence[Run]) -> list[Figure]:
    """Every figure that the files of some runs allow."""
    found = [
        accuracy_figures.security_curves(runs),
        accuracy_figures.differences(runs),
        *prediction_figures(runs),
        evidence_figures.certificates(runs),
        evidence_figures.detection(runs),
        evidence_figures.thresholds(runs),
    ]
    return [figure for figure in found if figure is not None]


def sections(runs: Sequence[Run], drawn: Sequence[Figure]) -> list[Section]:
    """The sections under the verdict.

    Args:
        runs: At least one.
        drawn: Of `figures`.
    """
    by_slug = {figure.slug: figure for figure in drawn}

    def figure(slug: str, otherwise: Note) -> list[Block]:
        return [by_slug.get(slug, otherwise)]

    predictions = _missing(runs, "predictions.parquet")
    compared = (
        [tables.comparison_table(runs)] if any(r.comparisons for r in runs) else []
    )
    return [
        Section("headline", "Headline", [tables.headline_table(headlines(runs))]),
        Section(
            "security",
            "Accuracy against epsilon",
            figure("security", Note("These results hold no attack.", missing=True)),
        ),
        Section("results", "All results", [tables.results_table(runs)]),
        Section(
            "comparisons",
            "Differences between arms",
            [
                *figure(
                    "comparisons",
                    Note(
                        "results.json holds no comparisons of arms: a run of one arm "
                        "has none; others are compared by",
                        missing=True,
                        command=_MAKERS["results.json"].format(runs[0].workdir),
                    ),
                ),
                *compared,
            ],
        ),
        Section("errors", "Direction of errors", figure("errors", predictions)),
        Section("roc", "ROC", figure("roc", predictions)),
        Section("calibration", "Calibration", figure("calibration", predictions)),
        Section(
            "distances",
            "Distances to a wrong decision",
            figure(
                "distances",
                Note(
                    "No adaptive attack that looks for the closest wrong image (cw, "
                    "ddn, fab, fmn) in predictions.parquet: name one in "
                    "evaluation.attacks.",
                    missing=True,
                ),
            ),
        ),
        Section("checks", "Checks of the evaluation", _checks(runs)),
        Section(
            "certificates",
            "Certificates",
            figure("certificates", _missing(runs, "certificates.json")),
        ),
        Section("detection", "Detection of attacks", _detection(runs, figure)),
        Section(
            "thresholds",
            "Thresholds over training",
            figure(
                "thresholds",
                Note(
                    "No arm trained thresholds: denoiser.threshold_rule is neither "
                    "'learned' nor 'predicted'.",
                    missing=True,
                ),
            ),
        ),
        Section("gallery", "Pictures", _gallery(runs)),
        Section("audit", "Audit of the data", _audit(runs)),
        Section("provenance", "Provenance", _provenance(runs)),
    ]


def _missing(runs: Sequence[Run], file: str) -> Note:
    command = _MAKERS[file].format(runs[0].workdir)
    return Note(f"{file} is missing. It is made by", missing=True, command=command)


def _checks(runs: Sequence[Run]) -> list[Block]:
    items = [(run.checks or {}).get("checks", []) for run in runs]
    if not any(items):
        return [_missing(runs, "checks.json")]
    caption = "Signs of masked gradients, weak attacks and faults of the evaluation."
    table = tables.status_table(runs, "checks", caption, items)
    flat = [item for own in items for item in own]
    return [table, Details("Numbers behind the checks", tables.evidence(flat))]


def _audit(runs: Sequence[Run]) -> list[Block]:
    items = [(run.audit or {}).get("findings", []) for run in runs]
    if not any(items):
        return [_missing(runs, "audit.json")]
    caption = "Leaks, duplicates, shortcuts and faults of the data."
    table = tables.status_table(runs, "audit", caption, items)
    flat = [item for own in items for item in own]
    return [table, Details("Numbers behind the findings", tables.evidence(flat))]


def _detection(runs: Sequence[Run], figure) -> list[Block]:
    blocks = figure("detection", _missing(runs, "detection.json"))
    some = any((run.detection or {}).get("detectors") for run in runs)
    return [*blocks, tables.detection_table(runs)] if some else blocks


def _gallery(runs: Sequence[Run]) -> list[Block]:
    blocks: list[Block] = [
        gallery.pictures(run, arm, label(run, arm, several=len(runs) > 1))
        for run in runs
        for arm in run.galleries
    ]
    return blocks or [_missing(runs, "gallery-<arm>.npz")]


def _provenance(runs: Sequence[Run]) -> list[Block]:
    blocks: list[Block] = [tables.provenance_table(runs)]
    for run in runs:
        if run.config is None:
            blocks.append(Note(f"{run.workdir}/config.json is missing.", missing=True))
        else:
            text = as_json(run.config.get("config"))
            blocks.append(Details(f"Config of {run.name}, all fields", text))
    return blocks

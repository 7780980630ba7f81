"""Tables and figure of `docs/thresholds.md`, from the ablation's results file.

    python -m benchmarks.thresholds
    python -m benchmarks.threshold_contrasts
    python -m docs.figures.threshold_tables

Writes the tables between the marks in the page, and draws `docs/images/ablation.png`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, with_interval, write
from docs.figures.results_verdict import points
from docs.figures.threshold_figure import draw_ablation

PAGE = DOCS / "thresholds.md"
# What each run is called; those of one factor stand together, in this order.
NAMES = {
    "universal": "universal",
    "fixed": "fixed, 1.3 epsilon",
    "bayes": "Bayes",
    "sure": "SURE",
    "learned": "learned",
    "predicted": "predicted",
    "no_threshold": "no threshold",
    "no_details": "no details",
    "learned_from_0.1": "learned, from a tenth",
    "learned_from_3": "learned, from three times",
    "level_1": "1 level",
    "level_3": "3 levels",
    "haar": "haar",
    "db4": "db4",
    "sym4": "sym4",
    "hard": "hard shrinkage",
    "garrote": "garrote",
}
_CONDITIONS = ("clean", "graybox", "adaptive", "approximation")
_REFERENCES = ("universal", "no_threshold", "no_details")
_TRAINED = ("learned", "learned_from_0.1", "learned_from_3", "predicted")
_SHOWN_LEFT = ("universal", "learned", "no_details", "no_threshold")

Rows = Sequence[Mapping[str, Any]]


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    report = read_results("thresholds")
    rows = in_order(report["rows"])
    return {
        "accuracy": accuracy_table(rows),
        "control": control_sentence(report["control"]),
        "learned": endpoints_table(rows, ("learned",)),
        "others": endpoints_table(rows, [r["run"] for r in rows], _REFERENCES[:1]),
        "converged": converged_table(rows),
        "left": left_table(rows),
        "ratios": ratios_table(report["ratios"]),
        **contrast_tables(read_results("threshold_contrasts")["rows"]),
    }


def contrast_tables(rows: Rows) -> dict[str, str]:
    """Those of the contrasts that are repeated on the cohort of the headline."""
    names = _CONDITIONS[:3]
    return {
        "paper": accuracy_table(rows, names),
        "paper_learned": endpoints_table(rows, ("learned",)),
        "paper_converged": converged_table(rows),
    }


def in_order(rows: Rows) -> list[Mapping[str, Any]]:
    """The rows in the order of `NAMES`."""
    places = list(NAMES)
    return sorted(rows, key=lambda row: places.index(row["run"]))


def accuracy_table(rows: Rows, conditions: Sequence[str] = _CONDITIONS) -> str:
    """One line a run: accuracy in % with its interval over patients."""
    cells = [
        [
            NAMES[row["run"]],
            str(len(row["seeds"])),
            *(with_interval(row["accuracy"][name]) for name in conditions),
        ]
        for row in rows
    ]
    head = ["approximation alone" if n == "approximation" else n for n in conditions]
    return table(["accuracy in % [95 %]", "seeds", *head], cells)


def control_sentence(row: Mapping[str, Any]) -> str:
    """What the graybox images leave of an undefended network."""
    return (
        f"The control: an undefended network of another seed keeps "
        f"{with_interval(row)} % under\nthe same graybox images.\n"
    )


def endpoints_table(
    rows: Rows, runs: Sequence[str], references: Sequence[str] = _REFERENCES
) -> str:
    """Paired differences of some runs to others, in points."""
    cells = [
        [
            NAMES[row["run"]],
            NAMES[reference],
            *(points(row["minus"][reference][name]) for name in _CONDITIONS[:3]),
        ]
        for row in rows
        if row["run"] in runs
        for reference in references
        if reference in row["minus"]
    ]
    return table(["points [95 %]", "minus", *_CONDITIONS[:3]], cells)


def converged_table(rows: Rows) -> str:
    """Where thresholds stand on clean images: multiples of epsilon and of the noise.

    Levels are coarsest first; of each the three orientations.
    """
    cells = []
    for row in rows:
        if row["run"] not in (*_TRAINED, "universal"):
            continue
        for seed, found, collapsed in zip(
            row["seeds"], row["thresholds"], row["collapsed"], strict=True
        ):
            cells.append(
                [
                    NAMES[row["run"]],
                    str(seed),
                    *(_three(level) for level in found["sigmas"]),
                    *(_three(level) for level in found["epsilons"]),
                    "-" if collapsed is None else f"{100 * collapsed:.0f} %",
                ]
            )
    head = [
        "thresholds", "seed", "level 2 / noise", "level 1 / noise",
        "level 2 / epsilon", "level 1 / epsilon", "collapsed",
    ]  # fmt: skip
    return table(head, cells)


def left_table(rows: Rows) -> str:
    """Energy of lesions and perturbations in the approximation, and after denoising."""
    cells = []
    for row in rows:
        if row["run"] not in _SHOWN_LEFT:
            continue
        shares = {each["what"]: each for each in row["left"]}
        line = [NAMES[row["run"]]]
        for what in ("lesion", "graybox", "adaptive"):
            line += [
                f"{100 * shares[what][name]:.0f} %"
                for name in ("approximation", "kept")
            ]
        cells.append(line)
    head = ["denoiser"]
    for what in ("lesion", "graybox perturbation", "adaptive perturbation"):
        head += [f"{what}: in approximation", "left by denoiser"]
    return table(head, cells)


def ratios_table(rows: Rows) -> str:
    """How many times a lesion is larger than all that the budget can do to a band."""
    cells = [
        [str(row["level"]), f"{row['approximation']:.1f}", f"{row['details']:.1f}"]
        for row in rows
    ]
    return table(["level", "approximation", "largest of the details"], cells)


def _three(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def main() -> None:
    """Writes the tables and draws the figure."""
    write(PAGE, tables())
    draw_ablation(in_order(read_results("thresholds")["rows"]), NAMES, DOCS / "images")


if __name__ == "__main__":
    main()

"""Gathers what the full suite of attacks leaves of the released networks.

    for name in wbad best; do
        mkdir -p runs/full_suite/$name
        cp -r checkpoints/$name runs/full_suite/$name/seed0
        python -m experiments.evaluate --workdir=runs/full_suite/$name/seed0 \
            --config.evaluation.suite=full \
            --config.evaluation.cw.num_searches=5 --config.evaluation.cw.num_steps=200 \
            --config.evaluation.protocols="('clean','adaptive')"
    done
    python -m benchmarks.full_suite

They are seed 0 of the headline's arms and of its better defence, so that nothing has to
be trained. Writes `benchmarks/results/full_suite.json`: rows of every attack, and the
paired differences of the headline. `python -m docs.figures.results_tables` then writes
the table of `docs/results.md`.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.arm_outcomes import gather
from benchmarks.headline import summary
from benchmarks.measure import write_sweep_report

RESULTS = pathlib.Path(__file__).parent / "results" / "full_suite.json"
NETWORKS = ("wbad", "best")


def report_of(folder: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Args:
        folder: That of the copies.

    Raises:
        FileNotFoundError: If none was evaluated with the full suite.
    """
    report = summary(gather(folder, NETWORKS, suite="full"))
    arms = {row["arm"] for row in report["rows"]}
    digests: dict[str, str] = {}
    for name in NETWORKS:
        for path in folder.glob(f"{name}/seed*/results.json"):
            own = json.loads(path.read_text("utf-8"))["meta"]["parameters_sha256"]
            digests |= {arm: digest for arm, digest in own.items() if arm in arms}
    return {
        "command": "python -m benchmarks.full_suite",
        "parameters_sha256": digests,
        **report,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(
        __doc__ or "", report_of, "runs/full_suite", RESULTS, argv
    )


if __name__ == "__main__":
    sys.exit(main())

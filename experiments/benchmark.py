"""Run a benchmark against other implementations.

    python -m experiments.benchmark --suite=wavelets
    python -m experiments.benchmark --suite=attacks --rounds=20
    python -m experiments.benchmark --suite=attacks_vs_peers --part=speed

Prints a table and writes `benchmarks/results/<suite>.json`. Run from the repository
root; further arguments go to the suite's script (`--suite=wavelets --help`).
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

SUITES = (
    "wavelets",
    "attacks",
    "attacks_vs_peers",
    "attack_suite",
    "certificates",
    "training_vs_torch",
    "sharding",
    "start_up",
    "kill_drill",
    "full_evaluation",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit status of the suite's script."""
    parser = argparse.ArgumentParser(
        description="Run a benchmark against other implementations.",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("--suite", choices=SUITES, required=True)
    argv = sys.argv[1:] if argv is None else argv
    if not any(argument.startswith("--suite") for argument in argv):
        parser.print_help()
        return 0 if {"-h", "--help"} & set(argv) else 2
    options, rest = parser.parse_known_args(argv)
    return importlib.import_module(f"benchmarks.{options.suite}").main(rest)


if __name__ == "__main__":
    sys.exit(main())

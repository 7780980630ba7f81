"""How long the first word takes: imports of the packages, and `--help` of the commands.

    python -m benchmarks.first_contact

Each in fresh processes, in CPU seconds (user and system), which other work on the
machine changes less than seconds on the wall. An import is counted beyond that of JAX,
which every user pays anyway. A warm disk is assumed: the first round is not counted.
"""

import argparse
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.measure import write_report

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "first_contact.json"
IMPORT_GOAL, HELP_GOAL = 1.5, 3.0  # CPU seconds
EVERYTHING = "everything"
Times = dict[str, dict[str, float]]  # CPU seconds by kind and name


def packages() -> list[str]:
    """Names of all packages of the library."""
    folders = (REPOSITORY / "wbad_jax").glob("*/__init__.py")
    return sorted(path.parent.name for path in folders)


def commands() -> list[str]:
    """Names of all modules of `experiments` that can be run."""
    folder = REPOSITORY / "experiments"
    files = [p.stem for p in folder.glob("*.py") if "__main__" in p.read_text()]
    return sorted([*files, *(p.parent.name for p in folder.glob("*/__main__.py"))])


def cpu_seconds(arguments: Sequence[str]) -> float:
    """User and system seconds of a Python process.

    Raises:
        RuntimeError: If it fails.
    """
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        # Not `wait`: of all processes that ended, only this one's time is asked for.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # absl's --help is status 1.
    if process.returncode and "--help" not in arguments:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{errors[-2000:]}")
    return used.ru_utime + used.ru_stime


def measure_round(imports: dict[str, list[str]], helps: Sequence[str]) -> Times:
    """CPU seconds of everything once.

    Args:
        imports: Packages to import together, by the name of the row.
        helps: Commands.
    """
    jax = cpu_seconds(["-c", "import jax"])
    beyond = {
        name: cpu_seconds(["-c", f"import jax, {', '.join(modules)}"]) - jax
        for name, modules in imports.items()
    }
    asked = {
        name: cpu_seconds(["-m", f"experiments.{name}", "--help"]) for name in helps
    }
    return {"jax": {"jax": jax}, "import": beyond, "help": asked}


def least(rounds: Sequence[Times]) -> Times:
    """Of each row over the rounds: other work on the machine only adds."""
    return {
        kind: {name: min(each[kind][name] for each in rounds) for name in rows}
        for kind, rows in rounds[0].items()
    }


def print_table(table: Times) -> None:
    """One line a process."""
    goals = {"jax": "", "import": f"{IMPORT_GOAL:.1f}", "help": f"{HELP_GOAL:.1f}"}
    print(f"{'':8}{'':14}{'CPU s':>8}{'goal':>6}")
    for kind, rows in table.items():
        for name, seconds in rows.items():
            print(f"{kind:8}{name:14}{seconds:8.2f}{goals[kind]:>6}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Times the first word.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print a table and write the JSON file; 0 if goals are met."""
    options = parse(argv)
    names = packages()
    imports = {name: [f"wbad_jax.{name}"] for name in names}
    imports[EVERYTHING] = [f"wbad_jax.{name}" for name in names]
    rounds = [measure_round(imports, commands()) for _ in range(options.rounds + 1)][1:]
    table = least(rounds)
    print_table(table)
    goals = {"import": IMPORT_GOAL, "help": HELP_GOAL}
    write_report({"goals": goals, "least": table, "rounds": rounds}, options.output)
    met = all(max(table[kind].values()) < goal for kind, goal in goals.items())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

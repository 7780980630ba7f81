"""Tables of `docs/drills.md`, from the drills' results.

    python -m docs.figures.drill_tables

Writes them between the marks in the page.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.first_contact import HELP_GOAL, IMPORT_GOAL
from docs.figures.page_tables import DOCS, read_results, table, write

PAGE = DOCS / "drills.md"


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {
        "files": files_table(read_results("malformed_files")),
        "faults": faults_table(read_results("fault_drill")),
        "large": large_table(read_results("large_folder")),
        "contact": contact_table(read_results("first_contact")),
    }


def files_table(results: Mapping[str, Any]) -> str:
    """What became of the spoiled files of each kind."""
    cells = [
        [
            name,
            str(row["cases"]),
            str(row["verdicts"].get("refused", 0)),
            str(row["verdicts"].get("right", 0)),
            str(len(row["failed"])),
            str(row["more_mib"]),
        ]
        for name, row in results["readers"].items()
    ]
    total = [str(sum(int(line[i]) for line in cells)) for i in range(1, 5)]
    head = ["file", "spoiled", "refused by name", "read right", "failed", "more MiB"]
    return table(head, [*cells, ["**all**", *total, ""]])


def faults_table(results: Mapping[str, Any]) -> str:
    """What was done to a run, what the command said, and what it ended with."""
    cells = [
        [name.replace("_", " "), place, _words(found), _same(found)]
        for name, drill in results["drills"].items()
        for place, found in _tries(drill["found"])
    ]
    return table(["drill", "try", "the command", "in the end"], cells)


def _tries(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Tries that were compared: of one drill, or several within it."""
    if "same" in found:
        yield "", found
        return
    yield from found.items()


def _words(found: Mapping[str, Any]) -> str:
    if "killed" in found:
        hit = [phase for phase, fell in found["killed"].items() if fell]
        return f"killed {len(hit)} times: {', '.join(hit)}"
    refused = [
        f"status {value['status']}, {len(value['said'])} line"
        for value in found.values()
        if isinstance(value, Mapping) and value.get("status")
    ]
    return "; ".join(dict.fromkeys(refused)) or "went on"


def _same(found: Mapping[str, Any]) -> str:
    other = [name for name, same in found.get("same", {}).items() if not same]
    if found["end"]["status"] or not found.get("same"):
        return "**failed**"
    return f"**other {', '.join(other)}**" if other else "the same"


def large_table(results: Mapping[str, Any]) -> str:
    """Time and memory of a large folder, and memory of a long evaluation."""
    cells = [
        [
            told,
            f"{results[name]['images']:,}",
            f"{results[name]['seconds']:.0f}",
            str(results[name]["more_mib"]),
        ]
        for name, told in (("first_load", "prepared"), ("second_load", "read again"))
    ]
    long = results["evaluation"]
    head = ["folder", "pictures", "seconds", "more MiB"]
    held = [[f"{long['batches']}", *(f"{x:.0f}" for x in long["held_mib"])]]
    batches = ["batches", "MiB after one call", "after a fifth", "at the end"]
    return f"{table(head, cells)}\n{table(batches, held)}"


def contact_table(results: Mapping[str, Any]) -> str:
    """CPU seconds of imports beyond JAX, and of `--help`."""
    goals = {"import": IMPORT_GOAL, "help": HELP_GOAL}
    cells = [
        [f"`{command}`", f"{seconds:.2f}", f"{goals[kind]:.1f}"]
        for kind, form in (
            ("import", "import wbad_jax.{}"),
            ("help", "python -m experiments.{} --help"),
        )
        for name, seconds in results["least"][kind].items()
        for command in [form.format(name)]
    ]
    return table(["first contact", "CPU seconds", "goal"], cells)


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()

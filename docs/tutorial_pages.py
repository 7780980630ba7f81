"""Runs the tutorials, and turns them into pages of the site.

A tutorial is a Python file of `docs/tutorials/` in cells, in the "percent" format of
Jupytext: an editor, `jupytext --to ipynb` or `python` opens or runs it.

    python -m docs.tutorial_pages --smoke certify
"""

import argparse
import os
import pathlib
import re
import time
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
OUTPUT = ROOT / "build" / "tutorials"
# Makes the sizes of a tutorial small: what it shows is then that it runs.
SMOKE = "WBAD_TUTORIAL_SMOKE"
_MOST_SECONDS = 1800
_PLAIN = "!!! note\n    Built without running the code: there are no results below."
_SMALL = (
    "!!! warning\n    Run with tiny sizes, to test the code: the numbers mean nothing."
)


def names() -> list[str]:
    """Of all tutorials."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def execute(name: str, folder: pathlib.Path, *, smoke: bool) -> float:
    """Run a tutorial and write `NAME.ipynb`.

    Args:
        name: Of the tutorial.
        folder: Where to write.
        smoke: Whether with tiny sizes.

    Returns:
        Seconds that it took.

    Raises:
        nbclient.exceptions.CellExecutionError: If its code raises.
    """
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = jupytext.read(FOLDER / f"{name}.py")
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    environment.pop(SMOKE, None)
    if smoke:
        environment[SMOKE] = "1"
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        # By files, not by ports that others on the machine could listen to.
        config=Config({"KernelManager": {"transport": "ipc"}}),
        timeout=_MOST_SECONDS,
        resources={"metadata": {"path": str(ROOT)}},
    )
    start = time.monotonic()
    client.execute(env=environment)
    notebook.metadata["wbad_smoke"] = smoke
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return time.monotonic() - start


def page(
    name: str, executed: pathlib.Path | None = None
) -> Iterator[tuple[str, str | bytes]]:
    """Address and content of a tutorial's page, of its pictures and its notebook.

    Args:
        name: Of the tutorial.
        executed: Its notebook with results; without it the page shows code alone.

    Raises:
        FileNotFoundError: If there is no such notebook.
    """
    import jupytext
    import nbformat
    from nbconvert import MarkdownExporter

    if executed is None:
        notebook, note = jupytext.read(FOLDER / f"{name}.py"), _PLAIN
    else:
        notebook = nbformat.read(executed, as_version=4)
        note = _SMALL if notebook.metadata["wbad_smoke"] else ""
    notebook.metadata["language_info"] = {"name": "python"}  # to colour the code
    for cell in notebook.cells:  # without progress bars and colours
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                if "text" in output:
                    output.text = re.sub(r"\x1b\[\d+m", "", output.text)
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": f"{name}_files"}
    )
    heading, _, rest = text.strip().partition("\n")
    notes = [note, f"The code: [as a notebook]({name}.ipynb)."]
    yield f"tutorials/{name}.md", "\n\n".join([heading, *filter(None, notes), rest])
    for path, content in resources["outputs"].items():
        yield f"tutorials/{path}", content
    yield f"tutorials/{name}.ipynb", nbformat.writes(notebook)


def _python_path() -> str:
    """That of this process with the repository before it: configs are not installed."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def run(chosen: Sequence[str], folder: pathlib.Path, *, smoke: bool) -> None:
    """Run tutorials one after the other, saying how long each takes."""
    for name in chosen:
        print(f"tutorial {name} ...", flush=True)
        seconds = execute(name, folder, smoke=smoke)
        print(f"tutorial {name}: {seconds:.0f} s", flush=True)


def main() -> None:
    """Run tutorials by name."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names()}")
    parser.add_argument("--smoke", action="store_true", help="with tiny sizes")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    given = parser.parse_args()
    unknown = sorted({*given.names} - {*names()})
    if unknown:
        parser.error(f"NAME must be among {names()}, got {unknown}.")
    run(given.names or names(), given.output, smoke=given.smoke)


if __name__ == "__main__":
    main()

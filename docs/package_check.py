"""Builds the sdist and the wheel, and looks at what is in them.

python -m docs.package_check
"""

import argparse
import pathlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "dist"
# Beside Python files.
_PAGES = (path.relative_to(ROOT) for path in ROOT.glob("experiments/*/page.*"))
NEEDED = (
    "wbad_jax/py.typed",
    *sorted(path.as_posix() for path in _PAGES if path.suffix != ".py"),
)
WHEEL_FOLDERS = ("wbad_jax", "experiments")
# What a folder of thermograms, a run or a checkpoint would be stored as.
_DATA = (
    ".txt", ".csv", ".png", ".tiff", ".jpg", ".npz", ".npy", ".parquet", ".pkl",
    ".array_record", ".pickle",
)  # fmt: skip
# Text files that packaging itself writes.
_OF_PACKAGING = (".egg-info/", ".dist-info/")


def wheel_problems(names: Iterable[str]) -> list[str]:
    """What is missing in a wheel, or should not be there.

    Args:
        names: Of its files.

    Returns:
        A sentence a problem.
    """
    names = list(names)
    problems = [f"{name} is missing" for name in NEEDED if name not in names]
    for name in names:
        top = name.split("/")[0]
        if top not in WHEEL_FOLDERS and not top.endswith(".dist-info"):
            problems.append(f"{name} is in none of {WHEEL_FOLDERS}")
    return problems + data_problems(names)


def data_problems(names: Iterable[str]) -> list[str]:
    """Files that could be data, of a wheel or an sdist, but for the docs' pictures."""
    return [
        f"{name} could be data"
        for name in names
        if name.endswith(_DATA)
        and "docs/images/" not in name
        and not any(part in name for part in _OF_PACKAGING)
    ]


def sdist_problems(names: Iterable[str]) -> list[str]:
    """The same of an sdist, without its first folder."""
    inside = [name.partition("/")[2] for name in names]
    problems = [f"{name} is missing" for name in NEEDED if name not in inside]
    problems += [f"{name} is a test" for name in inside if name.startswith("tests/")]
    return problems + data_problems(inside)


def check_package(output: pathlib.Path) -> list[str]:
    """Build both, from the sdist the wheel; what is wrong with them."""
    _build(output)
    wheel, sdist = next(output.glob("*.whl")), next(output.glob("*.tar.gz"))
    with zipfile.ZipFile(wheel) as opened:
        problems = wheel_problems(opened.namelist())
    with tarfile.open(sdist) as opened:
        problems += sdist_problems(opened.getnames())
    twine = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
    checked = subprocess.run(twine, capture_output=True, text=True)
    if checked.returncode:
        problems.append(checked.stdout + checked.stderr)
    return problems


def _build(output: pathlib.Path) -> None:
    if output.is_dir():
        for old in (*output.glob("*.whl"), *output.glob("*.tar.gz")):
            old.unlink()
    # -P: nothing called "build" here is taken for the module.
    command = [sys.executable, "-P", "-m", "build", "--outdir", str(output)]
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"The package was not built:\n{built.stdout}{built.stderr}")


def main() -> None:
    """Build and check; exit status 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    given = parser.parse_args()
    problems = check_package(given.output)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"sdist and wheel in {given.output} are as they should be.")


if __name__ == "__main__":
    main()

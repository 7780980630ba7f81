"""Builds the site: runs the tutorials, then MkDocs, with warnings as errors.

    python -m docs.build                             # in full: some minutes
    python -m docs.build --tutorials=none            # without running anything
    python -m docs.build --tutorials=smoke --package # what a release must pass

The last line also builds and checks the package. Needs the extra `docs`.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from docs import package_check, site_pages, tutorial_pages

ROOT = pathlib.Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "site"


def build_site(output: pathlib.Path, tutorials: pathlib.Path | None) -> None:
    """Build the site, with warnings as errors.

    Args:
        output: Folder to write to; what is in it goes.
        tutorials: Folder of executed tutorials; without it their pages show code alone.

    Raises:
        RuntimeError: If MkDocs warns or fails.
    """
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    environment.pop(site_pages.TUTORIALS, None)
    if tutorials is not None:
        environment[site_pages.TUTORIALS] = str(tutorials.resolve())
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    built = subprocess.run(
        [*command, "--site-dir", str(output.resolve())],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if built.returncode:
        raise RuntimeError(f"The site was not built:\n{built.stdout}{built.stderr}")


def main() -> None:
    """Build what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--tutorials",
        choices=("full", "smoke", "none"),
        default="full",
        help="run them in full, with tiny sizes, or not at all",
    )
    parser.add_argument("--package", action="store_true", help="build the package too")
    parser.add_argument(
        "--output", type=pathlib.Path, default=OUTPUT, help="folder of the site"
    )
    given = parser.parse_args()
    folder = None
    if given.tutorials != "none":
        folder = tutorial_pages.OUTPUT / given.tutorials
        smoke = given.tutorials == "smoke"
        tutorial_pages.run(tutorial_pages.names(), folder, smoke=smoke)
    build_site(given.output, folder)
    print(f"Site: {given.output / 'index.html'}")
    if given.package:
        problems = package_check.check_package(package_check.OUTPUT)
        if problems:
            sys.exit("\n".join(problems))
        print(f"Package: {package_check.OUTPUT}")


if __name__ == "__main__":
    main()

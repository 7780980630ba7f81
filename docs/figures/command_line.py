"""What the scripts that draw figures share: where their results go."""

import argparse
import pathlib


def output_parser(description: str, record: str) -> argparse.ArgumentParser:
    """A parser with `--output`, the folder of the figures and of their record."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("docs/images"),
        help=f"folder of the figures and of {record}",
    )
    return parser

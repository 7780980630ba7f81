"""Gives every reader of files some hundreds of spoiled ones, and sees what it says.

    python -m benchmarks.malformed_files --cases=200

Memory has a limit. A spoiled file must be refused in a message that names it, or be
read as what it says: never a crash, a hang, an error of another kind, or garbage taken
for data.
"""

import argparse
import collections
import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import write_report
from benchmarks.mutations import mutate

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "malformed_files.json"
GOOD = ("refused", "right")
_CASE_SECONDS = 60
_MEMORY = 4 * 2**30  # bytes of addresses beyond those at the start


class HangError(BaseException):
    """A reader that does not come to an end; no `except Exception` holds it up."""


def judge(reader: Any, path: pathlib.Path, valid: Any) -> tuple[str, str]:
    """Reads a spoiled file: "refused", "right", or what went wrong, and the words.

    Args:
        reader: Of `file_readers`.
        path: The file.
        valid: What the reader made of the valid file.
    """
    from experiments.config_errors import ConfigError
    from wbad_jax.damaged_files import DamagedFileError
    from wbad_jax.data import DataError

    signal.alarm(_CASE_SECONDS)
    try:
        value = reader.read(path, path.parent)
        return ("right" if reader.right(value, valid, path) else "garbage"), ""
    except HangError:
        return "hang", ""
    except (ConfigError, DamagedFileError, DataError) as error:
        message = str(error)
        # A checkpoint is a folder of files, a prepared data set another.
        named = any(name and name in message for name in (path.name, *_folders(path)))
        return ("refused" if named else "unclear"), _short(error)
    except MemoryError as error:
        return "memory", _short(error)
    except Exception as error:
        return "unclear", _short(error)
    finally:
        signal.alarm(0)


def _folders(path: pathlib.Path) -> list[str]:
    names = [parent.name for parent in path.parents]
    return [name for name in names if name in ("checkpoints", "prepared")]


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def run_reader(name: str, seeds: range, folder: pathlib.Path) -> None:
    """Spoils files of one kind and reads them, one line of JSON a case.

    Args:
        name: Of the reader.
        seeds: Of the mutations.
        folder: Empty.
    """
    from benchmarks.file_readers import READERS

    reader, spoiled, whole = READERS[name], folder / "case", folder / "whole"
    spoiled.mkdir()
    names = [path.relative_to(spoiled) for path in reader.make(spoiled)]
    valid = reader.read(spoiled / names[0], spoiled)
    if not reader.right(valid, valid, spoiled / names[0]):
        raise AssertionError(f"{name}: the valid file is not read right.")
    spoiled.rename(whole)
    before = _peak_kib()
    for seed in seeds:
        shutil.copytree(whole, spoiled)  # prepared data know their place
        path = spoiled / names[seed % len(names)]
        kind, content = mutate(path.read_bytes(), seed)
        path.write_bytes(content)
        began = time.monotonic()
        verdict, said = judge(reader, path, valid)
        line = {
            "reader": name, "seed": seed, "kind": kind, "file": path.name,
            "verdict": verdict, "said": said,
            "seconds": round(time.monotonic() - began, 3),
            "more_mib": round((_peak_kib() - before) / 1024),
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        shutil.rmtree(spoiled)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_child(first: dict[str, int], cases: int) -> None:
    """All readers in turn, with a limit on memory.

    Args:
        first: Seed to start from, by name of the reader.
        cases: Of each reader.
    """
    from benchmarks import file_readers

    def stop(*_: Any) -> None:
        raise HangError

    assert first.keys() <= file_readers.READERS.keys()
    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("ignore")
    addresses = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = addresses * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, -1))
    for name, seed in first.items():
        with tempfile.TemporaryDirectory() as folder:
            run_reader(name, range(seed, cases), pathlib.Path(folder))


def drill(names: Sequence[str], cases: int) -> dict[str, list[dict[str, Any]]]:
    """All cases of all readers, going on behind one that ends the process."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    while True:
        first = {name: len(lines) for name, lines in found.items()}
        first = {name: seed for name, seed in first.items() if seed < cases}
        if not first:
            return found
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.malformed_files", "--child"),
                *(f"--first={json.dumps(first)}", f"--cases={cases}"),
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the readers' libraries talk a lot
            text=True,
        ) as process:
            assert process.stdout is not None
            for text in process.stdout:
                if text.startswith('{"reader"'):
                    line = json.loads(text)
                    found[line["reader"]].append(line)
        if process.returncode:
            name = next(n for n in first if len(found[n]) < cases)
            lines = found[name]
            if len(lines) == first[name] == 0:
                raise RuntimeError(f"{name}: the valid file cannot be read.")
            crash = {"seed": len(lines), "verdict": "crash", "said": ""}
            lines.append(crash | {"status": process.returncode})


def summarise(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Verdicts counted, the slowest case, the memory, and what went wrong."""
    counts = collections.Counter(case["verdict"] for case in cases)
    return {
        "cases": len(cases),
        "verdicts": dict(sorted(counts.items())),
        "most_seconds": max(case.get("seconds", 0) for case in cases),
        "more_mib": max(case.get("more_mib", 0) for case in cases),
        "failed": [case for case in cases if case["verdict"] not in GOOD],
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Spoiled files for every reader.")
    parser.add_argument("--cases", type=int, default=200, help="of each reader")
    parser.add_argument("--only", nargs="*", help="names of readers")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drill and write the JSON file; 0 if no case went wrong."""
    options = parse(argv)
    if options.child:
        run_child(options.first, options.cases)
        return 0
    from benchmarks.file_readers import READERS

    table: dict[str, Any] = {}
    if options.only and options.output.exists():  # the others stay as they were found
        table = json.loads(options.output.read_text("utf-8"))["readers"]
    for name, cases in drill(options.only or list(READERS), options.cases).items():
        table[name] = summarise(cases)
        print(f"{name:24} {table[name]['verdicts']}", flush=True)
        for case in table[name]["failed"][:3]:
            print("   ", {k: case.get(k) for k in ("seed", "kind", "file", "said")})
    write_report({"readers": table}, options.output)
    return 0 if not any(row["failed"] for row in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Full disks, read-only folders, kills, other users, clocks and locales: one run each.

    python -m benchmarks.fault_drill
    python -m benchmarks.fault_drill --only kills full_disk

Every drill does something to the smoke variant of the quickstart, gives the same
command again, and compares parameters, predictions and results with those of a run that
nothing disturbed. A refusal must be one line, not a traceback. Mounts small file
systems, so it needs Linux and root. Takes half an hour on two cores.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measure import write_report

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "fault_drill.json"
_SECONDS = 1800
# Of every phase a little: a run takes a quarter of a minute.
_OVERRIDES = (
    "arms=('undefended',)",
    "training.log_every=1",
    "evaluation.protocols=('adaptive',)",
    "evaluation.attacks=('fgsm',)",
    "evaluation.checks=none",
)
_POLL_SECONDS = 0.002
# A clock that goes back by a minute at each look.
_BACKWARDS = """
import itertools, time
_now, _looks = time.time, itertools.count()
time.time = lambda: _now() - 60 * next(_looks)
"""
Environment = Mapping[str, str]


class Runs:
    """Runs of one command, sharing data and compiled programs."""

    def __init__(self, folder: pathlib.Path):
        """Prepare them.

        Args:
            folder: Empty.
        """
        self.folder = folder
        self.home = folder / "home"
        self._compiled = folder / "compiled"
        self.undisturbed = folder / "undisturbed"

    def start(
        self,
        workdir: pathlib.Path,
        *,
        home: pathlib.Path | None = None,
        environment: Environment | None = None,
    ) -> subprocess.Popen:
        """Start the command, or go on with a run.

        Args:
            workdir: Folder of the run.
            home: Where prepared data are; those of all runs if None.
            environment: Variables beside those of this process.
        """
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "experiments.train"),
                "--config=configs/quickstart.py:smoke",
                *(f"--config.{override}" for override in _OVERRIDES),
                f"--workdir={workdir}",
            ],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(home or self.home),
                "JAX_COMPILATION_CACHE_DIR": str(self._compiled),
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def finish(self, workdir: pathlib.Path, **options: Any) -> dict[str, Any]:
        """Run to the end, and what the command said and how it ended."""
        process = self.start(workdir, **options)
        _, errors = process.communicate(timeout=_SECONDS)
        errors = errors.replace(str(self.folder), "FOLDER")
        said = [x for x in errors.splitlines() if x.startswith("error: ")]
        # Orbax logs at length what it could not save; the last word is the command's.
        last_words = f"\n{errors}".split("\nerror: ")[-1]
        return {
            "status": process.returncode,
            "said": [line[:300] for line in said],
            "traceback": "Traceback (most recent" in last_words,
            **(
                {"errors": errors[-1500:]}
                if process.returncode and len(said) != 1
                else {}
            ),
        }

    def same(self, workdir: pathlib.Path) -> dict[str, bool]:
        """What equals the undisturbed run."""
        ours, theirs = self._contents(workdir), self._contents(self.undisturbed)
        return {name: ours[name] == theirs[name] for name in ours}

    def _contents(self, workdir: pathlib.Path) -> dict[str, Any]:
        results = json.loads((workdir / "results.json").read_text("utf-8"))
        predictions = pq.read_table(workdir / "predictions.parquet").to_pylist()
        timed = ("seconds",)
        return {
            "parameters": results["meta"]["parameters_sha256"],
            "results": [_without(row, timed) for row in results["rows"]],
            "predictions": [_without(row, timed) for row in predictions],
            "report": (workdir / "report.html").exists(),
            "looks": len((workdir / "looks.jsonl").read_text("utf-8").splitlines()),
        }


def _without(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _left(pattern: str, *, but: str | None = None) -> Callable[..., bool]:
    """Whether a file is there, and another not yet."""

    def reached(folder: pathlib.Path) -> bool:
        there = any(folder.glob(pattern))
        return there and not (but and any(folder.glob(but)))

    return reached


def _logged(steps: int) -> Callable[[pathlib.Path], bool]:
    def reached(folder: pathlib.Path) -> bool:
        path = folder / "run" / "metrics.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") >= steps

    return reached


# In the order in which a run comes to them. Data lie in "home", the run in "run".
PHASES: dict[str, Callable[[pathlib.Path], bool]] = {
    "simulating patients": _left("home/**/shard-*", but="home/**/*.array_record*"),
    "writing the data set": _left("home/**/*incomplete*"),
    "training": _logged(2),
    "saving a checkpoint": _left("run/*/checkpoints/*.orbax-checkpoint-tmp*"),
    "evaluating": _left("run/outcomes/*"),
    "writing results": _left("run/predictions.parquet*", but="run/results.json"),
    "writing the report": _left("run/results.json", but="run/report.html"),
}


def kills(runs: Runs) -> dict[str, Any]:
    """One run, killed (SIGKILL) once in every phase."""
    folder = runs.folder / "kills"
    folder.mkdir()
    hit = {}
    for phase, reached in PHASES.items():
        process = runs.start(folder / "run", home=folder / "home")
        while process.poll() is None and not reached(folder):
            time.sleep(_POLL_SECONDS)
        hit[phase] = process.poll() is None
        process.kill()
        process.communicate()
        print(f"  {phase}: {'killed' if hit[phase] else 'ended before'}", flush=True)
    end = runs.finish(folder / "run", home=folder / "home")
    return {"killed": hit, "end": end, "same": runs.same(folder / "run")}


@contextlib.contextmanager
def file_system(folder: pathlib.Path, kib: int) -> Iterator[Callable[[str], None]]:
    """A small file system in memory; yields what changes its options."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options: str, kind: Sequence[str] = ()) -> None:
        subprocess.run(["mount", *kind, "-o", options, folder], check=True)

    mount(f"size={kib}k", ["-t", "tmpfs", "none"])
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def full_disk(runs: Runs) -> dict[str, Any]:
    """The disk of the run is full at several moments, then has room again."""
    tried = {}
    for kib in (4, 200, 600, 3000):
        folder = runs.folder / f"full-{kib}"
        with file_system(folder, kib) as change:
            first = runs.finish(folder / "run")
            change("size=1g")
            end = runs.finish(folder / "run")
            same = runs.same(folder / "run") if end["status"] == 0 else {}
        tried[f"{kib} KiB"] = {"full": first, "end": end, "same": same}
        print(f"  {kib} KiB: {first['status']} {first['said']}", flush=True)
    return tried


def full_data_disk(runs: Runs) -> dict[str, Any]:
    """The disk of the data is full while they are made."""
    home = runs.folder / "small-home"
    with file_system(home, 200) as change:
        first = runs.finish(runs.folder / "full-data", home=home)
        change("size=1g")
        end = runs.finish(runs.folder / "full-data", home=home)
        same = runs.same(runs.folder / "full-data")
    return {"full": first, "end": end, "same": same}


def read_only(runs: Runs) -> dict[str, Any]:
    """A folder that cannot be written, from the start and in the middle of a run."""
    folder = runs.folder / "read-only"
    with file_system(folder, 2**20) as change:
        change("ro")
        first = runs.finish(folder / "run")
        change("rw")
        process = runs.start(folder / "run")
        while process.poll() is None and not _logged(2)(folder):
            time.sleep(_POLL_SECONDS)
        # Refused as long as files are open for writing: only then it is in the middle.
        process.kill()
        process.communicate()
        change("ro")
        middle = runs.finish(folder / "run")
        change("rw")
        end = runs.finish(folder / "run")
        same = runs.same(folder / "run")
    return {"start": first, "middle": middle, "end": end, "same": same}


def two_runs(runs: Runs) -> dict[str, Any]:
    """A second command in the folder of a run that is under way."""
    folder = runs.folder / "two"
    process = runs.start(folder / "run")
    while process.poll() is None and not _logged(1)(folder):
        time.sleep(_POLL_SECONDS)
    second = runs.finish(folder / "run")
    process.communicate(timeout=_SECONDS)
    end = {"status": process.returncode}
    return {"second": second, "end": end, "same": runs.same(folder / "run")}


def surroundings(runs: Runs) -> dict[str, Any]:
    """Other time zones, languages and clocks, and folders of odd names."""
    clock = runs.folder / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(_BACKWARDS)
    paths = os.pathsep.join([str(clock), os.environ.get("PYTHONPATH", "")])
    cases: dict[str, tuple[str, Environment]] = {
        "TZ=Asia/Kathmandu": ("kathmandu", {"TZ": "Asia/Kathmandu"}),
        "LC_ALL=C, no UTF-8": ("c", {"LC_ALL": "C", "PYTHONUTF8": "0",
                                     "PYTHONCOERCECLOCALE": "0"}),
        "LANG=tr_TR.UTF-8": ("tr", {"LANG": "tr_TR.UTF-8", "LC_ALL": ""}),
        "a clock that goes back": ("back", {"PYTHONPATH": paths}),
        "folder 'Läufe 3; $(x) [*]'": ("Läufe 3; $(x) [*]", {}),
    }  # fmt: skip
    tried = {}
    for name, (folder, environment) in cases.items():
        workdir = runs.folder / folder
        end = runs.finish(workdir, environment=environment)
        same = runs.same(workdir) if end["status"] == 0 else {}
        tried[name] = {"end": end, "same": same}
        print(f"  {name}: {end['status']} {same}", flush=True)
    return tried


DRILLS = {
    drill.__name__: drill
    for drill in (kills, full_disk, full_data_disk, read_only, two_runs, surroundings)
}


def passed(found: Any) -> bool:
    """Whether a drill found no loss, no traceback and no silent failure.

    Every run ends with status 0 or one line that says why; everything that can be
    compared is the same; every kill fell.
    """
    if not isinstance(found, Mapping):
        return True
    if "status" in found:
        refused = found["status"] in (1, 2) and len(found.get("said", [])) == 1
        return (found["status"] == 0 or refused) and not found.get("traceback")
    ended = found.get("end", {}).get("status", 0) == 0
    flags = [*found.get("same", {}).values(), *found.get("killed", {}).values()]
    return ended and all(flags) and all(passed(value) for value in found.values())


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Faults, one run each.")
    parser.add_argument("--only", nargs="+", choices=[*DRILLS], default=[*DRILLS])
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drills and write the JSON file; 0 if all passed."""
    options = parse(argv)
    known = {}
    if options.output.exists():  # drills may be run one by one
        known = json.loads(options.output.read_text("utf-8"))["drills"]
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(pathlib.Path(folder))
        print("The undisturbed run", flush=True)
        end = runs.finish(runs.undisturbed)
        if end["status"]:
            raise RuntimeError(f"The undisturbed run failed: {end}")
        for name in options.only:
            print(name, flush=True)
            found = DRILLS[name](runs)
            known[name] = {"passed": passed(found), "found": found}
            print(f"{name}: {'passed' if known[name]['passed'] else 'FAILED'}")
            write_report({"drills": known}, options.output)
    return 0 if all(drill["passed"] for drill in known.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

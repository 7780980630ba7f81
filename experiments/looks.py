"""The log of looks at the test set.

Whoever chooses settings by test results fits the test set. That cannot be prevented,
but counted: each evaluation of a run adds a line to `looks.jsonl` in its folder. The
same evaluation resumed after an interruption is one look.
"""

import datetime
import json
import pathlib
import shlex
import sys
from typing import Any

from configs.default import Config
from experiments.run_folder import provenance, to_plain
from experiments.whole_files import read_json, read_lines
from wbad_jax.data.fingerprint import fingerprint

_FILE = "looks.jsonl"


def record_look(config: Config, workdir: pathlib.Path) -> None:
    """Note that the test set is about to be opened.

    Args:
        config: The evaluation's settings.
        workdir: Folder of the run.
    """
    plain = to_plain(config)
    del plain["data"]["data_dir"]  # may change without changing the run
    origin = provenance(config)
    what = {
        "config": fingerprint(plain),
        "commit": origin["commit"],
        "version": origin["versions"]["wbad_jax"],
    }
    looks = read_looks(workdir)
    last = {name: looks[-1][name] for name in what} if looks else None
    if last == what and len(looks) > _reported(workdir):
        return  # it was stopped before it had results, and goes on
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = {"time": now, "command": shlex.join(sys.argv), **what}
    with (workdir / _FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_looks(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """All looks of a run, the first one first."""
    path = workdir / _FILE
    if not path.exists():
        return []
    return read_lines(path)


def _reported(workdir: pathlib.Path) -> int:
    """Number of looks when results were last written."""
    path = workdir / "results.json"
    if not path.exists():
        return 0
    return read_json(path)["meta"].get("test_looks", 0)

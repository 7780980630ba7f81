"""Kills, full disks and the like: the drills of `benchmarks.fault_drill`."""

import json
import os
import sys

import pytest

from benchmarks import fault_drill

FINE = {"status": 0, "said": [], "traceback": False}
REFUSED = {"status": 2, "said": ["error: in use"], "traceback": False}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("found", "passes"),
    [
        ({"end": FINE, "same": {"parameters": True}}, True),
        ({"second": REFUSED, "end": FINE, "same": {"parameters": True}}, True),
        ({"end": FINE, "same": {"parameters": False}}, False),
        ({"end": REFUSED, "same": {}}, False),
        ({"full": {**REFUSED, "traceback": True}, "end": FINE}, False),
        ({"full": {**REFUSED, "said": []}, "end": FINE}, False),
        ({"killed": {"training": False}, "end": FINE}, False),
        ({"4 KiB": {"end": FINE, "same": {"results": False}}}, False),
    ],
)
def test_what_counts_as_passed(found, passes):
    assert fault_drill.passed(found) == passes


@pytest.mark.fast
def test_phases_are_told_by_their_files(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").touch()
    assert fault_drill.PHASES["writing the report"](tmp_path)
    (run / "report.html").touch()
    assert not fault_drill.PHASES["writing the report"](tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="mounts small file systems",
)
@pytest.mark.parametrize("drill", fault_drill.DRILLS)
def test_nothing_is_lost(drill, tmp_path):
    output = tmp_path / "found.json"
    failed = fault_drill.main([f"--only={drill}", f"--output={output}"])
    assert not failed, json.dumps(json.loads(output.read_text()), indent=1)

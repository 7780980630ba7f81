"""The benchmark of sharding times the same work on every layout of devices."""

import json

import pytest

from benchmarks import sharding, sharding_worker


@pytest.mark.slow
def test_every_layout_is_timed(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS")  # as on the command line
    path = tmp_path / "sharding.json"
    options = ["--rounds=1", "--steps=1", "--batch_size=8", "--size=16"]
    assert sharding.main([*options, f"--output={path}"]) == 0
    jobs = json.loads(path.read_text())["jobs"]
    assert [job["job"] for job in jobs] == list(sharding_worker.JOBS)
    for job in jobs:
        layouts = [(row["processes"], row["devices"]) for row in job["layouts"]]
        assert layouts == [(1, 1), (1, 2), (1, 8), (2, 1)]
        assert job["layouts"][0]["over_one_device"] == {"wall": 1, "cpu": 1}
        assert all(row["wall_ms"] > 0 < row["cpu_ms"] for row in job["layouts"])


def test_other_work_is_not_compared():
    class Group:
        def __init__(self, loss):
            self.loss = loss

        def ask(self, function, **arguments):
            return [self.loss]

    options = type("Options", (), {"batch_size": 8, "size": 16})
    with pytest.raises(RuntimeError, match=r"losses differ .*0.5, 0.6"):
        sharding.time_job("clean", [Group(0.5), Group(0.6)], options)

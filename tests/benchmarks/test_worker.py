"""Worker processes: requests are answered, and every end is reported."""

import pytest

from benchmarks.worker import Worker, WorkerDied

PYWAVELETS = ("benchmarks.wavelet_libraries", "pywavelets")
CASE = {"shape": [2, 16, 16, 3], "wavelet": "db4", "level": 1, "min_seconds": 0.0}


@pytest.mark.fast
def test_a_worker_prepares_and_times():
    with Worker(*PYWAVELETS) as worker:
        found = worker.ask("prepare", **CASE, job="forward")
        assert 0 < found["pywavelets"]["max"] < 1.001
        for _ in range(2):
            sample = worker.ask("time", setting="pywavelets")
            assert sample["wall_ms"] > 0
        assert worker.ask("prepare", **CASE, job="gradient") == {}


@pytest.mark.fast
def test_a_failing_worker_is_reported_with_what_it_wrote():
    with Worker(*PYWAVELETS) as worker:
        with pytest.raises(WorkerDied, match="KeyError: 'no such setting'"):
            worker.ask("time", setting="no such setting")
        with pytest.raises(WorkerDied, match="status 1"):
            worker.ask("time", setting="pywavelets")


@pytest.mark.fast
def test_a_worker_that_does_not_start_is_reported():
    with (
        Worker("benchmarks.no_such_module") as worker,
        pytest.raises(WorkerDied, match="No module named"),
    ):
        worker.ask("time", setting="copy")


@pytest.mark.fast
def test_a_worker_that_hangs_is_killed():
    with (
        Worker(*PYWAVELETS, limit_seconds=0.01) as worker,
        pytest.raises(WorkerDied, match="status -9"),
    ):
        worker.ask("prepare", **CASE, job="forward")

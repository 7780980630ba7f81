"""Looks at the test set are counted, and a resumed evaluation is one look."""

import json

import pytest

from experiments import looks

pytestmark = pytest.mark.fast


def finish(workdir):
    """Write results as an evaluation does."""
    meta = {"test_looks": len(looks.read_looks(workdir))}
    (workdir / "results.json").write_text(json.dumps({"meta": meta}))


def test_each_evaluation_is_a_look(smoke_config, tmp_path):
    config = smoke_config("quickstart")
    assert looks.read_looks(tmp_path) == []
    looks.record_look(config, tmp_path)
    (look,) = looks.read_looks(tmp_path)
    assert set(look) == {"time", "command", "config", "commit", "version"}
    # Interrupted before there were results, and resumed, from another data folder.
    elsewhere = smoke_config("quickstart", **{"data.data_dir": str(tmp_path)})
    looks.record_look(elsewhere, tmp_path)
    assert looks.read_looks(tmp_path) == [look]
    finish(tmp_path)
    looks.record_look(config, tmp_path)
    assert len(looks.read_looks(tmp_path)) == 2
    # Stopped again, but then other settings.
    other = smoke_config("quickstart", **{"evaluation.pgd.num_steps": 3})
    looks.record_look(other, tmp_path)
    first, second, third = looks.read_looks(tmp_path)
    assert first["config"] == second["config"] != third["config"]


def test_results_from_before_there_was_a_log_count_as_none(smoke_config, tmp_path):
    (tmp_path / "results.json").write_text('{"meta": {}}')
    looks.record_look(smoke_config("quickstart"), tmp_path)
    assert len(looks.read_looks(tmp_path)) == 1

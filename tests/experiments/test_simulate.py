"""The command that simulates cohorts."""

import pytest

from experiments import simulate
from wbad_jax import data

TIMEOUT = 180


def test_command_simulates_once_and_draws(command, data_dir, tmp_path):
    preview = tmp_path / "preview.png"
    arguments = ("--cohort=tiny", "--num_patients=4", "--first_seed=8000500")
    process = command("simulate", *arguments, f"--preview={preview}")
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "4 patients" in output
    assert "8 images of 32 x 32" in output
    assert "custom data configuration" not in errors
    assert preview.read_bytes().startswith(b"\x89PNG")
    settings = {"num_patients": 4, "first_seed": 8_000_500}
    # In the cache folder that training reads, under the name that the library knows.
    root = data_dir / "wbad_jax" / "data"
    before = sorted(root.rglob("*"))
    dataset = data.load("simulated_thermograms/tiny", root, settings=settings)
    assert len(dataset) == 8
    assert sorted(root.rglob("*")) == before


def test_mistakes_end_in_one_line(command, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    mistakes = {
        ("--cohort=papr",): ["'papr'", "paper", "tiny"],
        (): ["--cohort is required"],
        ("--cohort=tiny", "--num_patients=many"): ["num_patients", "many"],
        ("--cohort=tiny", f"--data_dir={file}"): [str(file), "cannot be prepared"],
    }
    # All at a time: it is their start that takes long.
    processes = [command("simulate", *arguments) for arguments in mistakes]
    for process, expected in zip(processes, mistakes.values(), strict=True):
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 2, output + errors
        assert len(errors.strip().splitlines()) == 1, errors
        assert errors.startswith("error: ")
        assert all(part in errors for part in expected), errors


def test_a_preview_that_cannot_be_written_is_named(data_dir, tmp_path):
    pytest.importorskip("matplotlib")
    settings = {"num_patients": 4, "first_seed": 8_000_500}
    root = data_dir / "wbad_jax" / "data"
    dataset = data.load("simulated_thermograms/tiny", root, settings=settings)
    for path in (tmp_path / "absent" / "a.png", tmp_path / "a.nonsense"):
        with pytest.raises(data.DataError, match=f"{path.name}: the preview cannot"):
            simulate.draw_preview(dataset, path)


def test_settings_and_folder_reach_the_library(monkeypatch, tmp_path):
    asked = {}

    def load(name, data_dir, *, settings, workers):
        asked.update(name=name, data_dir=data_dir, settings=settings, workers=workers)
        raise data.DataError("enough")

    monkeypatch.setattr(data, "load", load)
    with pytest.raises(data.DataError, match="enough"):
        simulate.simulate_cohort("paper", {"num_patients": 3}, tmp_path, 5)
    assert asked == {
        "name": "simulated_thermograms/paper",
        "data_dir": tmp_path,
        "settings": {"num_patients": 3},
        "workers": 5,
    }

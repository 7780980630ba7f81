"""From a folder of pictures to results."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.train import train_and_evaluate
from wbad_jax.data import DataError


@pytest.fixture
def folder(tmp_path):
    """Twelve patients with one or two pictures of 32 x 40 grey levels."""
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for patient in range(12):
        label = ("healthy", "tumour")[patient % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        for side in "ab"[: 1 + patient % 3 // 2]:
            levels = rng.integers(90, 140, (32, 40), dtype=np.uint8)
            levels[10:16, 10:16] += np.uint8(80 * (patient % 2))
            path = root / label / f"IIR{patient:04d}_{side}.png"
            Image.fromarray(levels).save(path)
    return root


def test_a_folder_is_trained_on_and_tested(smoke_config, folder, tmp_path):
    overrides = {
        "data.manual_dir": str(folder),
        "data.options.patient_pattern": r"IIR(?P<patient>\d+)_",
        "data.options.window": (22.0, 38.0),
        "data.options.height": 32,
        "data.options.width": 40,
        "arms": ("undefended",),
        "evaluation.attacks": ("fgsm",),
        "evaluation.protocols": ("clean", "adaptive"),
    }
    train_and_evaluate(smoke_config("image_folder", **overrides), tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["meta"]["data"]["name"].startswith("image_folder/folder-")
    assert results["meta"]["split"] == "patient"
    assert not results["meta"]["patients_leak"]
    names = "arm", "attack", "unit"
    rows = {tuple(row[name] for name in names): row for row in results["rows"]}
    assert rows["undefended", "none", "image"]["n"] == 16
    assert rows["undefended", "none", "patient"]["n"] == 12
    assert rows["undefended", "fgsm", "image"]["epsilon_celsius"] == pytest.approx(
        0.125
    )
    assert "baseline:mean_temperature" in {arm for arm, *_ in rows}


def test_the_patient_must_be_known(smoke_config, folder, tmp_path):
    config = smoke_config("image_folder", **{"data.manual_dir": str(folder)})
    with pytest.raises(DataError, match="must know the patient of each picture"):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()

"""Every mistake of a user gets one clear line that names field, rule and value."""

import fcntl
import shutil

import pytest

from experiments.config_errors import ConfigError
from experiments.run_folder import record_config
from experiments.train import train_and_evaluate
from wbad_jax.data import DataError

# Override, and what the message must hold: the field, the rule or the value.
MISTAKES = {
    "negative epsilon": ({"attack.epsilon": -0.1}, ["attack.epsilon", "-0.1"]),
    "epsilon of 0 degrees": (
        {"attack.epsilon_celsius": 0.0},
        ["attack.epsilon_celsius", "positive", "0.0"],
    ),
    "level too deep": (
        {"denoiser.level": 9},
        ["denoiser.level", "between 1 and", "9"],
    ),
    "model level too deep": ({"model.level": 8}, ["model.level", "32 x 32", "8"]),
    "unknown network": ({"model.name": "vit"}, ["model", "'vit'", "resnet"]),
    "network that does not exist": (
        {"model.name": "wbad_jax.models:Vit"},
        ["config.model", "wbad_jax.models:Vit", "'Vit'"],
    ),
    "unknown downsampling": (
        {"model.downsampling": "pool"},
        ["config.model", "downsampling", "'pool'", "dwt"],
    ),
    "gain of more than all": (
        {"training.augmentation.max_gain": 1.5},
        ["training.augmentation", "max_gain", "between 0 and 1", "1.5"],
    ),
    "offset beyond the window": (
        {"training.augmentation.max_offset_celsius": 20.0},
        ["training.augmentation.max_offset_celsius", "16 °C", "20.0"],
    ),
    "unknown wavelet": ({"denoiser.wavelet": "db99"}, ["denoiser", "db99"]),
    "unknown mode": ({"denoiser.mode": "mirror"}, ["denoiser", "mirror", "symmetric"]),
    "unknown rule": (
        {"denoiser.threshold_rule": "minimax"},
        ["threshold_rule", "minimax", "universal"],
    ),
    "unknown shrinkage": ({"denoiser.shrinkage": "lasso"}, ["shrinkage", "lasso"]),
    "negative threshold": ({"denoiser.threshold": -1.0}, ["threshold", "-1.0"]),
    "unknown objective": (
        {"arm.wbad.objective": "trade"},
        ["arm.wbad", "objective", "trade"],
    ),
    "unknown arm": ({"arms": ("undefended", "wbat")}, ["arms", "wbat"]),
    "start from a later arm": (
        {"arms": ("wbad", "undefended")},
        ["arm.wbad.init_from", "undefended"],
    ),
    "unknown attack": (
        {"evaluation.attacks": ("fgsm", "pdg")},
        ["evaluation.pdg", "'pdg'", "fgsm"],
    ),
    "no steps": ({"arm.wbad.num_steps": -3}, ["arm.wbad", "num_steps", "-3"]),
    "unknown protocol": (
        {"evaluation.protocols": ("white",)},
        ["evaluation.protocols", "white"],
    ),
    "unknown backward mode": (
        {"evaluation.backward_modes": ("smoth",)},
        ["evaluation.backward_modes", "smoth", "identity"],
    ),
    "no surrogate": ({"arms": ("denoise",)}, ["graybox", "undefended"]),
    "odd batch of pairs": (
        {"training.batch_size": 7},
        ["training.batch_size", "multiple of 2", "7"],
    ),
    "parts that do not make up a batch": (
        {"training.accumulation_steps": 3},
        ["training", "accumulation_steps", "divide the batch of 8", "3"],
    ),
    "unknown type": (
        {"training.compute_dtype": "float16"},
        ["config.training", "compute_dtype", "bfloat16", "'float16'"],
    ),
    "unknown type in evaluation": (
        {"evaluation.compute_dtype": "half"},
        ["config.evaluation", "compute_dtype", "bfloat16", "'half'"],
    ),
    "unknown place of the data": (
        {"training.data_on_device": "yes"},
        ["training.data_on_device", "always", "'yes'"],
    ),
    "remat of a foreign network": (
        {
            "training.remat": True,
            "model.name": "tests.models.user_networks:Perceptron",
        },
        ["config.training", "remat", "Perceptron"],
    ),
    "zero learning rate": (
        {"training.learning_rate": 0.0},
        ["training", "learning", "0.0"],
    ),
    "negative mix": ({"training.mix.pgd": -1.0}, ["weights", "-1.0"]),
    "unknown data set": ({"data.builder": "mnist"}, ["mnist", "simulated"]),
    "fractions": ({"data.test_fraction": 0.9}, ["fraction"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_message_names_field_rule_and_value(mistake, smoke_config, tmp_path):
    overrides, expected = MISTAKES[mistake]
    config = smoke_config("quickstart", **overrides)
    with pytest.raises((ConfigError, DataError)) as caught:
        train_and_evaluate(config, tmp_path)
    message = str(caught.value)
    assert all(part in message for part in expected), message
    # The folder is not claimed by a run that could not start.
    assert not (tmp_path / "config.json").exists()


def test_field_that_does_not_exist(command, tmp_path):
    process = command(
        "train",
        "--config=configs/quickstart.py:smoke",
        "--config.attack.epsilom=0.1",
        f"--workdir={tmp_path}",
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2, output + errors
    assert "Traceback" not in errors
    assert "epsilom" in errors
    assert "epsilon" in errors


def test_config_file_that_does_not_exist(command):
    process = command("train", "--config=configs/quikstart.py")
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "quikstart" in errors
    assert "Traceback" not in errors


def test_help(command):
    process = command("evaluate", "--help")
    output, _ = process.communicate(timeout=120)
    assert "--workdir" in output
    assert "workdir/config.json" in output


def test_evaluate_without_a_run(command, tmp_path):
    process = command("evaluate", f"--workdir={tmp_path}")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "config.json is missing" in errors
    assert "Traceback" not in errors


def test_folder_of_another_config(smoke_config, tmp_path):
    record_config(smoke_config("quickstart"), tmp_path)
    other = smoke_config("quickstart", **{"attack.epsilon_celsius": 0.5})
    with pytest.raises(ConfigError, match=r"attack.epsilon_celsius: 0.125 there, 0.5"):
        train_and_evaluate(other, tmp_path)


def test_second_writer_is_refused(smoke_config, tmp_path):
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="in use by another process"):
            train_and_evaluate(smoke_config("quickstart"), tmp_path)


def test_broken_matrix_is_named(smoke_config, dmr_ir_folder, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(dmr_ir_folder, folder)
    path = folder / "matrices" / "T0003.txt"
    path.write_text(path.read_text().replace(path.read_text()[:8], "warm", 1))
    config = smoke_config("dmr_ir", **{"data.manual_dir": str(folder)})
    with pytest.raises(DataError, match="T0003.txt"):
        train_and_evaluate(config, tmp_path / "run")

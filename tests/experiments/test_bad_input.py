"""Every mistake of a user gets one clear line that names field, rule and value."""

import fcntl
import shutil

import numpy as np
import pytest

from experiments.config_errors import ConfigError
from experiments.run_folder import record_config
from experiments.train import train_and_evaluate
from wbad_jax import data
from wbad_jax.data import DataError

NAN = float("nan")
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
    "negative noise": (
        {"training.augmentation.noise_sigma": -0.1},
        ["training.augmentation", "noise_sigma", "-0.1"],
    ),
    "choice by noise without noise": (
        {"arm.wbad.select_by": "noisy_accuracy"},
        ["arm.wbad.select_by", "training.augmentation.noise_sigma"],
    ),
    "sigma of 0": (
        {"certificates.sigmas": (0.1, 0.0)},
        ["certificates.sigmas", "positive", "0.0"],
    ),
    "level of 1": ({"certificates.alpha": 1.0}, ["certificates.alpha", "below 1"]),
    "radii in any order": (
        {"certificates.radii": (0.2, 0.1)},
        ["certificates.radii", "rising"],
    ),
    "votes that cannot certify": (
        {"certificates.num_samples": 9},
        ["certificates.num_samples", "at least 10", "alpha 0.001", "9"],
    ),
    "votes that cannot refute": (
        {"certificates.judge_samples": 20},
        ["certificates.judge_samples", "at least 25", "judge_alpha 1e-07", "20"],
    ),
    "smoothed attack of no steps": (
        {"certificates.attack.num_steps": 0},
        ["config.certificates.attack", "num_steps", "0"],
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
    "learning rate of NaN": (
        {"training.learning_rate": NAN},
        ["config.training.learning_rate", "positive", "nan"],
    ),
    "infinite learning rate": (
        {"training.learning_rate": float("inf")},
        ["config.training.learning_rate", "finite", "inf"],
    ),
    "negative learning rate": (
        {"training.learning_rate": -1e-3},
        ["config.training.learning_rate", "positive", "-0.001"],
    ),
    "threshold learning rate of NaN": (
        {"training.threshold_learning_rate": NAN},
        ["config.training.threshold_learning_rate", "positive", "nan"],
    ),
    "weight decay of NaN": (
        {"training.weight_decay": NAN},
        ["config.training.weight_decay", "at least 0", "nan"],
    ),
    "no gradient": (
        {"training.clip_norm": 0.0},
        ["config.training.clip_norm", "positive", "0.0"],
    ),
    "warm-up of more than all": (
        {"training.warmup_fraction": 5.0},
        ["config.training.warmup_fraction", "between 0 and 1", "5.0"],
    ),
    "ramp of NaN": (
        {"arm.wbad.epsilon_ramp": NAN},
        ["config.arm.wbad.epsilon_ramp", "between 0 and 1", "nan"],
    ),
    "radii in the wrong order": (
        {"arm.wbad.epsilon_range": (2.0, 0.5)},
        ["config.arm.wbad.epsilon_range", "two positive numbers", "(2.0, 0.5)"],
    ),
    "one radius of two": (
        {"arm.wbad.epsilon_range": (1.0,)},
        ["config.arm.wbad.epsilon_range", "two positive numbers", "(1.0,)"],
    ),
    "decay of NaN": ({"training.ema_decay": NAN}, ["training", "ema_decay", "nan"]),
    "epsilon of NaN": ({"attack.epsilon": NAN}, ["attack.epsilon", "positive", "nan"]),
    "negative radius in L2": (
        {"attack.l2_ratio": -8.0},
        ["config.attack.l2_ratio", "positive", "-8.0"],
    ),
    "unknown score": (
        {"arm.wbad.select_by": "accuracy"},
        ["config.arm.wbad.select_by", "robust_accuracy", "'accuracy'"],
    ),
    "empty batch": (
        {"training.batch_size": 0},
        ["config.training.batch_size", "at least 1", "0"],
    ),
    "empty batch of the evaluation": (
        {"evaluation.batch_size": 0},
        ["config.evaluation.batch_size", "at least 1", "0"],
    ),
    "no epsilon": (
        {"evaluation.epsilon_multiples": ()},
        ["config.evaluation.epsilon_multiples", "one or more positive", "()"],
    ),
    "multiple of NaN": (
        {"evaluation.epsilon_multiples": (1.0, NAN)},
        ["config.evaluation.epsilon_multiples", "positive", "nan"],
    ),
    "no confidence": (
        {"evaluation.graybox_confidences": ()},
        ["config.evaluation.graybox_confidences", "one or more", "()"],
    ),
    "no examples": (
        {"data.max_examples": 0},
        ["config.data.max_examples", "at least 1", "0"],
    ),
    "module that does not exist": (
        {"model.name": "no_such_module:Network"},
        ["config.model", "no_such_module:Network", "cannot be imported"],
    ),
    "mix of NaN": ({"training.mix.pgd": NAN}, ["weights", "nan"]),
    "empty test set": (
        {"data.test_fraction": 0.0},
        ["fractions must be positive", "'test': 0.0"],
    ),
    "test set of NaN": ({"data.test_fraction": NAN}, ["fractions", "nan"]),
    "test set without a class": (
        {"data.test_fraction": 0.01},
        ["'test'", "none of class", "too small a fraction"],
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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nan", ["positive and finite", "nan"]),
        pytest.param("1e-3x", ["1e-3x"], marks=pytest.mark.slow),
    ],
)
def test_learning_rate_that_is_none(value, said, command, tmp_path):
    """As a command: status 2, one line, and no data prepared before."""
    process = command(
        "train",
        "--config=configs/wbad.py",
        f"--config.training.learning_rate={value}",
        f"--workdir={tmp_path}",
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 2, output + errors
    assert "Traceback" not in errors
    assert "Preparing" not in output
    assert "training.learning_rate" in errors
    assert all(part in errors for part in said), errors


def test_a_patient_in_two_parts(smoke_config, tmp_path, monkeypatch):
    split = data.split_by_patient

    def leaky(*arguments):
        parts = split(*arguments)
        return parts | {"test": np.union1d(parts["test"], parts["train"][:2])}

    monkeypatch.setattr(data, "split_by_patient", leaky)
    with pytest.raises(DataError, match=r"\(train\) and .* \(test\) must share no pat"):
        train_and_evaluate(smoke_config("quickstart"), tmp_path)


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


def test_who_stops_reading_the_help_is_told_nothing_more(command):
    process = command("evaluate", "--help")
    process.stdout.close()
    assert process.stderr.read() == ""


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

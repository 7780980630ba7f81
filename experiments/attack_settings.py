"""From a config to its threat model and its attacks."""

import dataclasses
from typing import Any

from configs.default import Config
from experiments.attack_makers import make_attack
from experiments.config_errors import ConfigError, build, naming
from wbad_jax import attacks
from wbad_jax.attacks import Attack
from wbad_jax.data import PIXEL_UNITS
from wbad_jax.evaluation import AttackOfParameters


def epsilon_of(config: Config, window: tuple[float, float]) -> float:
    """Linf radius in pixel units; `attack.epsilon` wins over `attack.epsilon_celsius`.

    Args:
        config: The experiment.
        window: Temperatures of pixel values 0 and 1, in degrees Celsius.

    Raises:
        ConfigError: If neither is set, or the value is not between 0 and 1.
    """
    attack = config.attack
    if attack.epsilon is not None:
        field, given = "attack.epsilon", attack.epsilon
        epsilon = given
    elif attack.epsilon_celsius is not None:
        if window == PIXEL_UNITS:
            raise ConfigError(
                "attack.epsilon_celsius means nothing on images without temperatures: "
                "set attack.epsilon, a share of the pixel range."
            )
        field, given = "attack.epsilon_celsius", attack.epsilon_celsius
        epsilon = given / (window[1] - window[0])
    else:
        raise ConfigError("Set attack.epsilon or attack.epsilon_celsius.")
    if not 0 < epsilon <= 1:
        raise ConfigError(
            f"{field} must be positive and at most the whole window "
            f"(1, or {window[1] - window[0]:g} °C), got {given}."
        )
    return float(epsilon)


def training_attacks(config: Config) -> dict[str, Attack]:
    """Attacks that craft training examples, by the names used in `training.mix`.

    Those of "fast", "trades" and "mart" serve these objectives.
    """
    pgd = {
        name: build(attacks.PGD, f"training.{name}", config.training[name])
        for name in ("pgd", "trades", "mart")
    }
    return pgd | {
        "fgsm": attacks.FGSM(),
        "fast": build(attacks.RandomStartFGSM, "training.fast", config.training.fast),
        "cw": build(
            attacks.CarliniWagnerL2,
            "training.cw",
            config.training.cw,
            select="confident",
        ),
    }


def evaluation_attacks(config: Config) -> dict[str, Attack]:
    """Attacks on all examples, by name, as they are on a network without denoiser.

    Raises:
        ConfigError: If `evaluation.attacks` names an unknown attack.
    """
    for name in config.evaluation.attacks:
        if name in ("twin", "template"):
            raise ConfigError(
                f"evaluation.attacks may not name {name!r}, which knows the patients' "
                "twins; set evaluation.suite."
            )
    return {name: named_attack(config, name) for name in config.evaluation.attacks}


def named_attack(config: Config, name: str) -> Attack:
    """One white-box attack with the settings of `evaluation`.

    Raises:
        ConfigError: If it is unknown, or its settings are impossible.
    """
    settings, _ = settings_of(config, name)
    made = naming(f"evaluation.{name}")(make_attack, name, settings)
    # Only attacks that are made for a given classifier wait for its parameters.
    assert not isinstance(made, AttackOfParameters)
    return made


def settings_of(config: Config, name: str) -> tuple[dict[str, Any], int | None]:
    """Settings of an attack of the evaluation, and its most examples or None."""
    settings = dict(config.evaluation.get(name, {}))
    return settings, settings.pop("max_examples", None)


def graybox_attacks(config: Config) -> dict[str, list[Attack]]:
    """Attacks that craft images on a surrogate, by name.

    Carlini-Wagner examples of confidence 0 lie on the surrogate's boundary and would
    fool no other network: one run per confidence, of which the most confident image
    inside the budget is kept.
    """
    result = {}
    for name, attack in evaluation_attacks(config).items():
        if isinstance(attack, attacks.CarliniWagnerL2):
            result[name] = [
                dataclasses.replace(attack, select="confident", confidence=confidence)
                for confidence in config.evaluation.graybox_confidences
            ]
        else:
            result[name] = [attack]
    return result


def surrogate_workdirs(config: Config) -> tuple[str, ...]:
    """Workdirs of the runs whose undefended arms make the graybox images."""
    one = config.evaluation.surrogate
    return (*((one,) if one else ()), *config.evaluation.surrogates)


def smoothed_attack(config: Config) -> attacks.PGD:
    """The attack on smoothed classifiers, in L2.

    Raises:
        ConfigError: If its settings are refused.
    """
    settings = config.certificates.attack.to_dict()
    return build(attacks.PGD, "certificates.attack", settings, norm="l2")

"""From a config to its threat model and its attacks."""

import dataclasses

from configs.default import Config
from experiments.config_errors import ConfigError, build, naming
from wbad_jax import attacks
from wbad_jax.attacks import Attack


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
    """White-box attacks of the evaluation, by name.

    Raises:
        ConfigError: If `evaluation.attacks` names an unknown attack.
    """
    return {name: named_attack(config, name) for name in config.evaluation.attacks}


def named_attack(config: Config, name: str) -> Attack:
    """One white-box attack with the settings of `evaluation`.

    Raises:
        ConfigError: If it is unknown, or its settings are impossible.
    """
    settings = config.evaluation.get(name, {})
    return naming(f"evaluation.{name}")(attacks.build, name, **settings)


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

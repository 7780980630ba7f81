"""From the config of a sweep to its runs, checked before any work."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from configs.default import Config
from experiments.config_checks import check_values
from experiments.config_errors import ConfigError, build
from wbad_jax import denoise

# The sweep itself gives them to each run.
_OWN = ("name", "seed")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        name: Of the run.
        seed: Of its training.
        config: The experiment.
    """

    name: str
    seed: int
    config: Config

    @property
    def path(self) -> pathlib.Path:
        """Its folder within that of the sweep."""
        return pathlib.Path(self.name) / f"seed{self.seed}"


def expand(sweep: Config) -> list[Variant]:
    """All runs of a sweep with all seeds, checked as far as is possible without data.

    Raises:
        ConfigError: If a field is unknown or of another type, two runs have one name,
            there are none, or the table is to show what no run has.
    """
    runs = [*sweep.runs, *grid(dict(sweep.grid)).items()]
    _check_names([name for name, _ in runs], sweep)
    variants = [
        Variant(name, seed, _changed(sweep, name, dict(fields), seed))
        for name, fields in runs
        for seed in sweep.seeds
    ]
    _check_shown(sweep, [variant.config for variant in variants])
    return variants


def reference(sweep: Config) -> str:
    """Name of the run that the others are compared with: the first if unset."""
    return sweep.reference or expand(sweep)[0].name


def grid(axes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """All combinations of some fields' values.

    Args:
        axes: Values by dotted name of the field; none give no runs.

    Returns:
        Runs called such as "level=2,wavelet=db4", by the last part of each field, or
        all of it where two fields end alike.

    Raises:
        ConfigError: If a field has no values, or has one twice.
    """
    if not axes:
        return {}
    for field, values in axes.items():
        if not values or len({str(value) for value in values}) < len(values):
            raise ConfigError(
                f"grid of {field} must have values, each once, got {values}."
            )
    lasts = [field.rsplit(".", 1)[-1] for field in axes]
    names = [
        last if lasts.count(last) == 1 else field
        for field, last in zip(axes, lasts, strict=True)
    ]
    return {
        ",".join(
            # Such as "simulated_thermograms/paper", but the name is of a folder.
            f"{name}={value}".replace("/", "_").replace(" ", "")
            for name, value in zip(names, values, strict=True)
        ): dict(zip(axes, values, strict=True))
        for values in itertools.product(*axes.values())
    }


def _check_names(names: Sequence[str], sweep: Config) -> None:
    if not names or not sweep.seeds:
        raise ConfigError("A sweep needs runs or a grid, and at least one of seeds.")
    for field, values in (("runs", names), ("seeds", sweep.seeds)):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ConfigError(f"{field} must differ, got {twice} more than once.")
    for seed in sweep.seeds:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ConfigError(f"seeds must be integers, got {seed!r}.")
    for name in names:
        if name in (".", "..") or "/" in name or not name:
            raise ConfigError(f"runs must have names fit for a folder, got {name!r}.")
    if sweep.reference and sweep.reference not in names:
        raise ConfigError(
            f"reference must be one of the runs {names}, got {sweep.reference!r}."
        )


def _check_shown(sweep: Config, configs: Sequence[Config]) -> None:
    known = {
        "shown_arms": {arm for config in configs for arm in config.arms},
        "shown_attacks": {
            attack for config in configs for attack in config.evaluation.attacks
        }
        | {"worst_case"},
    }
    for field, names in known.items():
        unknown = sorted(set(sweep[field]) - names)
        if unknown:
            raise ConfigError(
                f"{field} names {unknown}; the runs have {sorted(names)}."
            )


def _changed(sweep: Config, name: str, fields: Mapping[str, Any], seed: int) -> Config:
    """The base config with the fields of a run."""
    config = sweep.base.copy_and_resolve_references().lock()
    for field, value in fields.items():
        if field in _OWN:
            raise ConfigError(f"run {name!r}: {field} is given by the sweep.")
        try:
            config.update_from_flattened_dict({field: value})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = error.args[0] if error.args else error  # str of a KeyError quotes
            raise ConfigError(f"run {name!r}: field {field}: {message}") from error
    config.seed = seed
    config.name = f"{sweep.name}-{name}"
    try:
        _check(config)
    except ConfigError as error:
        raise ConfigError(f"run {name!r}: {error}") from error
    return config


def _check(config: Config) -> None:
    """What can be told without data: not whether a level fits the images."""
    check_values(config)
    for arm in config.arms:
        if arm not in config.arm:
            raise ConfigError(
                f"arms names {arm!r}; config.arm has {sorted(config.arm)}."
            )
        if config.arm[arm].denoise:
            build(denoise.DenoiserSettings, "denoiser", config.denoiser)

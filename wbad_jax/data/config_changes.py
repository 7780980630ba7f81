"""Changes fields of a builder's config, and of the settings that it holds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from wbad_jax.data.errors import DataError

_OF_TFDS = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}


def change_config(
    config: tfds.core.BuilderConfig, changes: Mapping[str, Any]
) -> tfds.core.BuilderConfig:
    """A copy of a config with some fields changed.

    Args:
        config: Of any builder. Where it holds settings in a dataclass, their fields are
            named as if they were its own.
        changes: Field to value. A mapping changes single fields of a dataclass, such as
            `{"tumours": {"prior": "weak"}}`; a list becomes a tuple.

    Raises:
        DataError: If there is no such field, or its owner refuses the value.
    """
    own = [name for name in _field_names(config) if name not in _OF_TFDS]
    holders = {
        name: holder for holder in own for name in _field_names(getattr(config, holder))
    }
    known = sorted({*own, *holders} - set(holders.values()))
    sorted_changes: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise _unknown(name, known)
        if name in holders:
            sorted_changes.setdefault(holders[name], {})[name] = value
        else:
            sorted_changes[name] = value
    return _change(config, sorted_changes, config.name)


def _change(settings: Any, changes: Mapping[str, Any], owner: str) -> Any:
    known = _field_names(settings)
    values = {}
    for name, value in changes.items():
        if name not in known:
            raise _unknown(f"{owner}.{name}", known)
        if isinstance(value, Mapping):
            value = _change(getattr(settings, name), value, name)
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return type(settings)(**{n: getattr(settings, n) for n in known} | values)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(f"settings of {owner}: {error}") from error


def _field_names(settings: Any) -> list[str]:
    """Of a dataclass or a named tuple; none of anything else."""
    if dataclasses.is_dataclass(settings):
        return [field.name for field in dataclasses.fields(settings)]
    return list(getattr(settings, "_fields", ()))


def _unknown(name: str, known: list[str]) -> DataError:
    return DataError(f"Unknown setting {name!r}. Known: {', '.join(known)}.")

"""What a config does wrong, said with the name of its field."""

from collections.abc import Mapping
from typing import Any


class ConfigError(ValueError):
    """A config asks for something impossible; the message names the field."""


def build(cls, field: str, values: Mapping[str, Any], **more):
    """Construct frozen settings from a section of the config, naming it in errors."""
    return naming(field)(cls, **{**dict(values), **more})


def naming(field: str):
    """Calls a function, naming a section of the config in what it refuses."""

    def call(function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"config.{field}: {error}") from error

    return call

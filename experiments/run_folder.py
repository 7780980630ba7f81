"""The folder of a run: one writer, one config, a record of what produced it."""

import contextlib
import fcntl
import functools
import importlib.metadata
import json
import operator
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax

import wbad_jax
from configs import default
from configs.default import Config
from experiments.config_errors import ConfigError
from experiments.whole_files import read_json, write_text
from wbad_jax import processes

# Where data lie, whether they are audited and what is written at the end may change
# without changing the run.
_NOT_COMPARED = ("data.data_dir", "data.audit", "training.data_on_device", "report")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


@contextlib.contextmanager
def locked(workdir: pathlib.Path):
    """Hold the folder for this run alone; of several processes the first holds it.

    The kernel releases the lock when the process dies, however it dies.

    Raises:
        ConfigError: If another run holds it, or a process does not see it.
    """
    with contextlib.ExitStack() as stack:
        processes.on_first(lambda: stack.enter_context(_lock(workdir)))
        if not processes.all_agree((workdir / ".lock").exists()):
            raise ConfigError(
                f"{workdir} must be a folder that all processes see, but one does not."
            )
        yield


@contextlib.contextmanager
def _lock(workdir: pathlib.Path):
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigError(
                f"{workdir} is in use by another process ({holder}). Wait for it, or "
                "choose another --workdir."
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


def record_config(config: Config, workdir: pathlib.Path) -> None:
    """Write `config.json`, or check that the one there is of the same run.

    Raises:
        ConfigError: Naming the fields that differ.
    """
    path = workdir / "config.json"
    if not path.exists():
        command = shlex.join(["python", *sys.orig_argv[1:]])
        record = {"config": to_plain(config), "command": command, **provenance(config)}
        write_text(json.dumps(record, indent=1) + "\n", path)
        return
    check_config(config, workdir)


def check_config(config: Config, workdir: pathlib.Path) -> None:
    """Refuse the folder of another run; an empty one fits any.

    Raises:
        ConfigError: Naming the fields that differ.
    """
    if not (workdir / "config.json").exists():
        return
    before, now = flatten(read_config(workdir)), flatten(to_plain(config))
    differing = [
        f"{name}: {before.get(name, 'absent')!r} there, {now.get(name, 'absent')!r} now"
        for name in _differing(before, now)
    ]
    if differing:
        shown = "\n  ".join(differing[:10])
        raise ConfigError(
            f"{workdir} holds a run of another config ({len(differing)} fields "
            f"differ):\n  {shown}\nChoose another --workdir."
        )


def overrides(config: Config, workdir: pathlib.Path) -> dict[str, Any]:
    """Fields, by dotted name, that are other than those the run was made with.

    Args:
        config: Of an evaluation.
        workdir: Of the run; where none was recorded nothing is other.
    """
    if not (workdir / "config.json").exists():
        return {}
    before = flatten(to_plain(load_config(workdir)))
    now = flatten(to_plain(config))
    return {name: now[name] for name in _differing(before, now) if name in now}


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of the fields that are not alike, but for those that change no result."""
    return [
        name
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in _NOT_COMPARED
    ]


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """The config that a run was made with.

    Raises:
        ConfigError: If the folder holds no readable `config.json`.
    """
    path = workdir / "config.json"
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: {workdir} holds no run.") from None
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise ConfigError(f"{path} is damaged: it holds no config.")
    return record["config"]


def load_config(workdir: pathlib.Path) -> Config:
    """The config of a run, ready for overrides.

    Raises:
        ConfigError: If the folder holds no run, or one with fields unknown today.
    """
    config = default_config()
    plain = read_config(workdir)
    try:
        # The names of these options are the user's: no default config has them.
        with config.unlocked():
            config.model.options = plain["model"].pop("options", {})
            config.data.options = plain["data"].pop("options", {})
            config.data.test_options = plain["data"].pop("test_options", {})
        fields = flatten(plain).items()
        set_fields(
            config, {n: tuple(v) if isinstance(v, list) else v for n, v in fields}
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{workdir}/config.json does not fit this version: {error}."
        ) from error
    return config


def default_config() -> Config:
    """All fields with their types and defaults, locked."""
    return default.get_config().lock()


def to_plain(config: Config) -> dict[str, Any]:
    """The config as JSON would give it back: dicts, lists, numbers, strings, None."""
    return json.loads(config.to_json())


def set_fields(tree: Any, fields: Mapping[str, Any]) -> None:
    """Set fields of a config, plain or not, by their dotted names.

    Raises:
        KeyError: If a section is unknown, or the field of a locked config.
    """
    for name, value in fields.items():
        *path, field = name.split(".")
        functools.reduce(operator.getitem, path, tree)[field] = value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to one dict with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def provenance(config: Config) -> dict[str, Any]:
    """Versions, device, commit and seed of this process."""
    versions = {"wbad_jax": wbad_jax.__version__}
    versions |= {name: importlib.metadata.version(name) for name in _PACKAGES}
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version(), **versions},
        "device": f"{device.platform} {device.device_kind} x {jax.device_count()}",
        "processes": jax.process_count(),
        "cpu_count": os.cpu_count(),
        "commit": _commit(),
        "seed": config.seed,
    }


def _commit() -> str | None:
    """Commit of the source tree this runs from; None outside of one."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None

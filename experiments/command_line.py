"""What commands share: the --config flag, and errors without tracebacks."""

import errno
import io
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from experiments.cohort import default_data_dir
from experiments.config_errors import ConfigError
from experiments.distributed import connect, end_at_once
from wbad_jax import devices
from wbad_jax.damaged_files import DamagedFileError
from wbad_jax.data import DataError
from wbad_jax.processes import FirstProcessError
from wbad_jax.training import NonFiniteLossError, StopRequestedError

# Exit statuses; a run that was stopped and saved itself has done what was asked.
STOPPED, FAILED, WRONG_USE = 0, 1, 2
# The disk refuses: full, over quota, a file too large, read-only, not allowed.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def define_config(description: str):
    """Define `--config=FILE[:mode]` with `--config.field=value` overrides."""
    # Locked: an override of a field that does not exist is an error, not a new field.
    return config_flags.DEFINE_config_file(
        "config", None, description, lock_config=True
    )


def run_command(
    main: Callable[[Sequence[str]], None], define_flags: Callable[[], None]
) -> None:
    """Parse flags and run `main`, turning expected errors into one clear line.

    Args:
        main: Given the arguments that are not flags.
        define_flags: Called first. Not at import: commands import each other's parts,
            and a flag can be defined once only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 must not end a run that says °C.
            stream.reconfigure(errors="backslashreplace")
    _guarded(lambda _: define_flags(), sys.argv)
    # Orbax logs a dozen lines a save at level INFO.
    logging.set_verbosity(logging.WARNING)
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)


def prepare_jax(distributed: str | None = None) -> None:
    """Makes each CPU core a device and keeps compiled programs for the next run.

    Call it before anything is computed. `JAX_COMPILATION_CACHE_DIR` names another
    folder for the programs.

    Args:
        distributed: Other processes to run with, the value of `--distributed`.

    Raises:
        ConfigError: If `distributed` is malformed.
    """
    devices.use_all_cores()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # By machine: a home folder may be shared by others with other processors.
        folder = default_data_dir().parent / "compiled" / platform.node()
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Hundreds of small programs together take longer than the few large ones.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    connect(distributed)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(list(argv))
    except flags.Error as error:
        # ml_collections puts a traceback of its own between what and why.
        lines = str(error).strip().splitlines()
        _fail(" ".join(dict.fromkeys([lines[0], lines[-1]])), WRONG_USE)
    except (AttributeError, KeyError) as error:
        # ml_collections names the closest field that exists.
        _fail(f"no such config field: {_innermost(error)}", WRONG_USE)
    except BrokenPipeError:
        # Whoever read the help has left, as `head` does. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (OSError, ImportError, SyntaxError, TypeError, ValueError) as error:
        _fail(f"the config cannot be read: {error}", WRONG_USE)
    _check_loaded()
    if len(rest) > 1:
        _fail(f"unexpected arguments: {' '.join(rest[1:])}", WRONG_USE)
    return rest


def _check_loaded() -> None:
    """Fail where the config file could not be read; its flag only holds the error."""
    if "config" not in flags.FLAGS:
        return
    config = flags.FLAGS["config"].value
    if config is None or isinstance(config, ml_collections.ConfigDict):
        return
    try:
        config.name  # noqa: B018 (raises, saying why)
    except OSError as error:
        _fail(" ".join(str(error).split()), WRONG_USE)


def _guarded(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    try:
        main(argv)
    except (ConfigError, DamagedFileError, DataError) as error:
        _fail(str(error), WRONG_USE)
    except (NonFiniteLossError, FirstProcessError) as error:
        _fail(str(error), FAILED)
    except StopRequestedError as error:
        print(f"{error} The same command resumes it.", flush=True)
        sys.exit(STOPPED)
    except (Exception, KeyboardInterrupt) as error:
        end_at_once(FAILED)
        if isinstance(error, OSError) and error.errno in _DISK:
            _end_without_disk(error)
        raise


def _end_without_disk(error: OSError) -> NoReturn:
    print(
        f"error: {error.filename or 'the work folder'}: {error.strerror}. What is "
        "finished is kept: the same command goes on.",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    # At once: saves that are under way would fail too, and tell it at length.
    os._exit(FAILED)


def required(name: str) -> Any:
    """The value of a flag that a command cannot do without."""
    value = flags.FLAGS[name].value
    if value is None:
        _fail(f"--{name} is required; see --help.", WRONG_USE)
    return value


def _innermost(error: BaseException) -> str:
    """The message in an error that wraps another; `str` of a KeyError is a repr."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return " ".join(str(error.args[0] if error.args else error).split())


def _fail(message: str, status: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)

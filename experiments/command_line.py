"""What all commands share: the --config flag, and errors without tracebacks."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from experiments.settings import ConfigError
from wbad_jax.data import DataError
from wbad_jax.training import NonFiniteLossError, StopRequestedError

# Exit statuses; a run that was stopped and saved itself has done what was asked.
STOPPED, FAILED, WRONG_USE = 0, 1, 2


def define_config(description: str, default: str | None = None):
    """Define `--config=FILE[:mode]` with `--config.field=value` overrides."""
    # Locked: an override of a field that does not exist is an error, not a new field.
    return config_flags.DEFINE_config_file(
        "config", default, description, lock_config=True
    )


def run_command(
    main: Callable[[Sequence[str]], None],
    define_flags: Callable[[], None] | None = None,
) -> None:
    """Parse flags and run `main`, turning expected errors into one clear line.

    Args:
        main: Given the arguments that are not flags.
        define_flags: Called first; for flags that depend on the command line.
    """
    if define_flags:
        _guarded(lambda _: define_flags(), sys.argv)
    # Orbax logs a dozen lines a save at level INFO.
    logging.set_verbosity(logging.WARNING)
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:
        # ml_collections names the closest field that exists.
        _fail(f"no such config field: {_text(error)}", WRONG_USE)
    except (OSError, ImportError, SyntaxError, TypeError, ValueError) as error:
        _fail(f"the config cannot be read: {_text(error)}", WRONG_USE)
    if len(rest) > 1:
        _fail(f"unexpected arguments: {' '.join(rest[1:])}", WRONG_USE)
    return rest


def _guarded(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    try:
        main(argv)
    except (ConfigError, DataError) as error:
        _fail(_text(error), WRONG_USE)
    except NonFiniteLossError as error:
        _fail(_text(error), FAILED)
    except StopRequestedError as error:
        print(f"{error} The same command resumes it.", flush=True)
        sys.exit(STOPPED)


def required(holder: flags.FlagHolder, name: str):
    """The value of a flag that a command cannot do without."""
    if holder.value is None:
        _fail(f"--{name} is required; see --help.", WRONG_USE)
    return holder.value


def _text(error: BaseException) -> str:
    # str() of a KeyError is the repr of its message.
    return str(error.args[0]) if error.args else repr(error)


def _fail(message: str, status: int):
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)

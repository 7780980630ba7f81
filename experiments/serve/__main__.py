r"""A page to look at one thermogram after another with the arms of a finished run.

    python -m experiments.serve --workdir=runs/wbad
    python -m experiments.serve --workdir=runs/wbad --arm=wbad --beside=adversarial

Drop a thermogram: decision and calibrated probability, the image before and after the
denoiser, scores of detectors, an attack at every epsilon, a certified radius. It
listens on this machine alone, works without a network, and keeps nothing. Ctrl-C ends
it. `docs/serve.md` tells the rest.

Research only: not a diagnostic device.
"""

import pathlib
from typing import Any

from absl import flags

from experiments.command_line import prepare_jax, required, run_command
from experiments.config_errors import ConfigError, naming
from experiments.evaluate import define_flags as define_run_flags
from experiments.trained_run import open_run

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def define_flags() -> None:
    """Flags of this command."""
    define_run_flags()
    flags.DEFINE_string("arm", None, "Arm in front; the last one of the run if unset.")
    flags.DEFINE_string("beside", None, "Arm beside it; the run's first one if unset.")
    flags.DEFINE_string("fold", None, "Fold of a cross-validation; the first if unset.")
    flags.DEFINE_string("host", "127.0.0.1", "Address; others let other machines in.")
    flags.DEFINE_integer("port", 8000, "Port; 0 for any that is free.", 0, 65535)
    flags.DEFINE_integer("attack_steps", 20, "Gradient steps of PGD.", 1)
    flags.DEFINE_integer("num_samples", 1000, "Votes for a certified radius.", 1)
    flags.DEFINE_float("max_upload_mib", 8.0, "Largest file, MiB.", 0.001, 1024)
    flags.DEFINE_integer(
        "requests_per_minute", 60, "Of all callers together; more are refused.", 1
    )


def main(_) -> None:
    """Entry point."""
    given: Any = flags.FLAGS
    prepare_jax()
    workdir = pathlib.Path(required("workdir"))
    try:
        # Here: --help works without them.
        import uvicorn

        from experiments.serve.answers import Answers, choose_arms
        from experiments.serve.app import make_app
        from experiments.serve.arm_programs import EffortSettings
        from experiments.serve.limits import Limits
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: pip install 'wbad_jax[serve]'.") from error
    run = open_run(required("config"), workdir, given.fold)
    effort = naming("serve")(
        EffortSettings,
        attack_steps=given.attack_steps,
        num_samples=given.num_samples,
    )
    limits = Limits(
        upload_bytes=int(given.max_upload_mib * 2**20),
        requests_a_minute=given.requests_per_minute,
    )
    names = choose_arms(run, given.arm, given.beside)
    answers = Answers(run, names, effort, lambda text: print(text, flush=True))
    host, port = given.host, given.port
    public = host not in _LOOPBACK
    if public:
        print(
            "Warning: other machines can reach this service. It asks for no password."
        )
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(answers, limits, public=public),
            host=host,
            port=port,
            log_level="warning",
            limit_concurrency=32,
            timeout_keep_alive=5,
            server_header=False,
            access_log=False,
        )
    )
    listening = server.config.bind_socket()
    address, port = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(
        f"Open http://{shown}:{port}/ (Ctrl-C ends it). Research only: not a "
        "diagnostic device.", flush=True,
    )  # fmt: skip
    server.run(sockets=[listening])


if __name__ == "__main__":
    run_command(main, define_flags)

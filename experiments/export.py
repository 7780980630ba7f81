r"""Export an arm of a finished run as a file that needs JAX alone.

    python -m experiments.export --workdir=runs/wbad --arm=wbad --output=exported
    python -m experiments.export --workdir=runs/wbad --platforms=cpu,cuda,tpu

Writes `classifier.jaxexport`, the whole defended classifier from degrees Celsius to
logits with its gradient, and `manifest.json`, which says what goes in and out. Before
that it compares the file with the run's classifier, logits and input gradients, and
writes nothing if they differ. `docs/export.md` tells how to load it.

Research only: no diagnostic use.
"""

import dataclasses
import hashlib
import pathlib
import sys
from typing import Any

from absl import flags
from jax import export

from experiments.command_line import FAILED, prepare_jax, required, run_command
from experiments.config_errors import ConfigError, naming
from experiments.evaluate import define_flags as define_run_flags
from experiments.export_check import ExportMismatchError, check_export
from experiments.run_folder import provenance
from experiments.train_arm import parameters_sha256
from experiments.trained_run import TrainedRun, open_run
from experiments.whole_files import write_bytes, write_json
from wbad_jax import models
from wbad_jax.data import PIXEL_UNITS
from wbad_jax.data.examples import OUTSIDE

PROGRAM, MANIFEST = "classifier.jaxexport", "manifest.json"
NOTICE = (
    "Research software. Not a diagnostic device; no decision about a patient may rest "
    "on it. Thermography is no substitute for mammography."
)
COMPATIBILITY = (
    "JAX reads exports of other versions within the window that its documentation of "
    "jax.export states. Later, export the run again. Reverse mode alone can be "
    "differentiated, vjp_order times."
)


def export_arm(
    run: TrainedRun,
    name: str | None,
    output: pathlib.Path,
    *,
    platforms: tuple[str, ...] = ("cpu",),
    vjp_order: int = 1,
) -> dict[str, Any]:
    """Export an arm, check the file, and write it with its manifest.

    Args:
        run: A finished run.
        name: Of the arm; the last one if None.
        output: Folder; it is made, and files of before are replaced.
        platforms: Where the file shall run. It is checked on this machine's only.
        vjp_order: How many times it can be differentiated.

    Returns:
        The manifest.

    Raises:
        ConfigError: If there is no such arm, platform or order, or flatbuffers is
            missing.
        ExportMismatchError: If the file does not give the numbers of the run.
    """
    arm, params = run.arm(name)
    denoiser = arm.evaluated.denoiser
    celsius_fn = models.celsius_logits_fn(arm.evaluated, params, run.window)
    try:
        content = naming("export")(
            models.export_logits, celsius_fn, run.image_shape,
            platforms=platforms, vjp_order=vjp_order,
        )  # fmt: skip
    except ImportError as error:  # JAX's own, or Python's
        raise ConfigError(f"{error}: pip install 'wbad_jax[export]'.") from error
    print(f"Exported {arm.name}: {len(content) / 2**20:.2f} MiB. Checking it.")
    checks = None
    if export.default_export_platform() in platforms:
        checks = check_export(content, run, arm, params, vjp_order > 0)
    else:
        print(f"Not checked: no {' or '.join(platforms)} on this machine.")
    program = export.deserialize(bytearray(content))
    manifest = {
        "notice": NOTICE,
        "not_a_diagnostic_device": True,
        "arm": arm.name,
        "run": run.config.name,
        "fold": run.fold.name,
        "file": PROGRAM,
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "parameters_sha256": parameters_sha256(params),
        "format": "jax.export",
        "calling_convention_version": program.calling_convention_version,
        "platforms": list(program.platforms),
        "vjp_order": vjp_order,
        "compatibility": COMPATIBILITY,
        "input": _input(run),
        "output": {"shape": ["batch", len(run.classes)], "meaning": "logits"},
        "classes": list(run.classes),
        "decision": _decision(run, arm.name),
        "threat_model": _threat_model(run),
        "denoiser": None if denoiser is None else dataclasses.asdict(denoiser),
        "data": {"name": run.fold.test.name, "version": run.fold.test.version},
        "checks": checks,
        **provenance(run.config),
    }
    write_bytes(content, output / PROGRAM)
    write_json(manifest, output / MANIFEST)
    return manifest


def _input(run: TrainedRun) -> dict[str, Any]:
    low, high = run.window
    celsius = run.window != PIXEL_UNITS
    return {
        "shape": ["batch", *run.image_shape],
        "dtype": "float32",
        "unit": "degree Celsius" if celsius else "share of the pixel range",
        "window": [low, high],
        "clipped_to_window": True,
        "pixel_units": "pixel = (value - window[0]) / (window[1] - window[0])",
        "outside_of_body": low + OUTSIDE * (high - low),
    }


def _decision(run: TrainedRun, name: str) -> dict[str, Any]:
    reading = run.reading(name)
    return {
        "score": "logit of class 1 less the largest other logit",
        "threshold": 0.0,
        "threshold_at_90_percent_specificity": reading.threshold,
        "calibrated_probability": "sigmoid(intercept + slope * log odds of class 1)",
        "slope": reading.slope,
        "intercept": reading.intercept,
        "validation_images": reading.num_validation,
    }


def _threat_model(run: TrainedRun) -> dict[str, Any]:
    width = run.window[1] - run.window[0]
    return {
        norm: {"epsilon": size, "epsilon_celsius": size * width}
        for norm, size in run.fold.budgets.items()
    }


def define_flags() -> None:
    """Flags of this command."""
    define_run_flags()
    flags.DEFINE_string("arm", None, "Arm to export; the last one of the run if unset.")
    flags.DEFINE_string(
        "output", None, "Folder to write; exported/<arm> in that of the run if unset."
    )
    flags.DEFINE_list("platforms", ["cpu"], f"Some of {', '.join(models.PLATFORMS)}.")
    flags.DEFINE_integer("vjp_order", 1, "How many times it can be differentiated.")
    flags.DEFINE_string("fold", None, "Fold of a cross-validation; the first if unset.")


def main(_) -> None:
    """Entry point."""
    given: Any = flags.FLAGS
    prepare_jax()
    workdir = pathlib.Path(required("workdir"))
    run = open_run(required("config"), workdir, given.fold)
    arm, _ = run.arm(given.arm)
    output = given.output or workdir / "exported" / run.fold.run_name(arm.name)
    try:
        export_arm(
            run, arm.name, pathlib.Path(output),
            platforms=tuple(given.platforms),
            vjp_order=given.vjp_order,
        )  # fmt: skip
    except ExportMismatchError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(FAILED)
    print(f"Wrote {output}/{PROGRAM} and {MANIFEST}. {NOTICE}")


if __name__ == "__main__":
    run_command(main, define_flags)

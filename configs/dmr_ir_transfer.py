r"""From simulated patients to real ones: DMR-IR, from scratch, tuned, and as released.

The arms of `checkpoints/wbad`, trained on simulated patients, meet real thermograms:
`*_as_released` untouched, `*_tuned` trained on from there, and `undefended`,
`adversarial` and `wbad` from scratch, on the same patient-disjoint folds. Images are
stretched to the square frame of the simulated ones. Labels of this set can be guessed
without looking at a breast (see `dmr_ir.py`): compare with the arms `baseline:...`, and
take both classes from the same years:

    python -m experiments.train --config=configs/dmr_ir_transfer.py \
        --config.data.manual_dir=FOLDER --config.data.patients="(135, 300)" \
        --workdir=runs/dmr_ir_transfer_era

Threat model: Linf, epsilon = 0.125 °C.

Result: `docs/results.md`, "Real thermograms"; aggregates alone, in
`benchmarks/results/dmr_ir_transfer.json`.
"""

from configs import default, dmr_ir
from configs.default import Config

RELEASE = "checkpoints/wbad"
_SCRATCH = ("undefended", "adversarial", "wbad")


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = dmr_ir.get_config()
    config.name = "dmr_ir_transfer"
    config.data.options.height = config.data.options.width = 128
    config.data.num_folds = 3
    config.arm.adversarial.num_steps = config.arm.wbad.num_steps = 100
    arms = list(_SCRATCH)
    for name in _SCRATCH:
        tuned = config.arm[name].copy_and_resolve_references()
        tuned.init_from = f"{RELEASE}/{name}"
        released = tuned.copy_and_resolve_references()
        released.num_steps = 0
        config.arm[f"{name}_tuned"] = tuned
        config.arm[f"{name}_as_released"] = released
        arms += [f"{name}_as_released", f"{name}_tuned"]
    config.arms = tuple(arms)
    config.evaluation.protocols = ("clean", "adaptive")
    config.evaluation.attacks = ("fgsm", "pgd", "apgd")
    config.evaluation.pgd.restarts = config.evaluation.apgd.restarts = 1
    config.evaluation.backward_modes_on = "survivors"
    if mode == "smoke":
        widths = config.model.widths  # those of the release
        default.shrink_for_smoke(config)
        config.model.widths = widths
        config.data.num_folds = 2
    return config

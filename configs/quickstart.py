"""A few minutes on a laptop: what an attack does, and what the two-stage defence saves.

Simulated thermograms, an undefended network and one trained adversarially behind the
wavelet denoiser (WBAD). Threat model: Linf, epsilon = 0.125 °C (2/255 of the window of
16 °C), white box and graybox.

    python -m experiments.train --config=configs/quickstart.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/quickstart.py:smoke

Result (JAX 0.10.2, worst case over the Linf attacks,
`benchmarks/results/quickstart_jax_0.10.json`): undefended 92.9 % clean and 0.5 %
adaptive; WBAD 93.8 % clean, 90.0 % graybox and 65.7 % adaptive.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    config = default.get_config()
    default.check_mode(mode)
    config.name = "quickstart"
    config.data.builder = "simulated_thermograms/quickstart"
    config.data.test_fraction = 0.175  # 210 patients
    # 24 epsilon is a sixth of a typical lesion's norm, and more than the undefended
    # network bears; 5 epsilon, the ratio of the lesions' own norms, is not.
    config.attack.l2_ratio = 24.0
    config.arm.undefended.num_steps = 500
    config.arm.wbad.num_steps = 200
    config.training.pgd.num_steps = 4
    config.training.cw.num_steps = 4
    config.evaluation.batch_size = 105
    config.evaluation.suite_batch_size = 16
    config.evaluation.pgd.restarts = 1
    config.evaluation.apgd = dict(num_steps=25, restarts=1)
    config.evaluation.graybox_confidences = (1.0,)
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config

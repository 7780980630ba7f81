r"""Why a denoiser looks like a defence: graybox against adaptive, in ten minutes.

Simulated thermograms as in `quickstart.py`, and four arms: the undefended network, a
wavelet denoiser put before it (`denoise_frozen`), a network trained behind the denoiser
(`denoise`) and one trained adversarially behind it (`wbad`). Perturbations made on an
undefended network are what a denoiser removes; an attack that knows of it goes where it
does not look, the approximation band. Threat model: Linf, epsilon = 0.125 °C, graybox
and white box.

    python -m experiments.train --config=configs/pattern.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/pattern.py:smoke

For the control, an undefended network of another seed makes the graybox images:

    python -m experiments.train --config=configs/pattern.py --config.seed=1 \
        --config.arms="('undefended',)" --workdir=runs/pattern_surrogate
    python -m experiments.evaluate --workdir=runs/pattern \
        --config.evaluation.surrogates="('runs/pattern_surrogate',)"
"""

from configs import default, quickstart
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    config = quickstart.get_config()
    default.check_mode(mode)
    config.name = "pattern"
    config.arms = ("undefended", "denoise_frozen", "denoise", "wbad")
    config.arm.denoise.num_steps = 500
    config.evaluation.attacks = ("fgsm", "pgd", "subband")
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config

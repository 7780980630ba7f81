r"""Networks for randomised smoothing: trained under noise, with and without denoiser.

The quickstart's simulated thermograms. Gaussian noise of sigma 0.1 in pixel units (1.6
°C) on every training image, not clipped; both arms choose their checkpoint by accuracy
under that noise.

    python -m experiments.train --config=configs/certified.py
    python -m experiments.certify --workdir=runs/certified

A small version is `configs/certified.py:smoke`. Results are in
`docs/certificates.md`.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    config = default.get_config()
    default.check_mode(mode)
    config.name = "certified"
    config.arms = ("undefended", "denoise")
    config.data.builder = "simulated_thermograms/quickstart"
    config.data.test_fraction = 0.175  # 210 patients
    config.attack.l2_ratio = 24.0
    config.training.augmentation.noise_sigma = 0.1
    for arm in config.arms:
        config.arm[arm].num_steps = 500
        config.arm[arm].select_by = "noisy_accuracy"
    # Certificates are the point: one attack, at one epsilon, for a first look.
    config.evaluation.protocols = ("clean", "adaptive")
    config.evaluation.attacks = ("pgd",)
    config.evaluation.batch_size = 105
    config.evaluation.pgd.restarts = 1
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config

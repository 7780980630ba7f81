"""Fields of an experiment that are about its evaluation, with their defaults."""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

# An `ml_collections.ConfigDict`, whose fields no type checker knows.
Config = Any


def evaluation_fields() -> Config:
    """Attacks, protocols and checks: `config.evaluation`."""
    fields: Config = ml_collections.ConfigDict()
    fields.batch_size = 128
    # What networks compute in; unset: as in training, so that what is attacked is what
    # was trained.
    fields.compute_dtype = placeholder(str)
    fields.sets = ("test",)
    fields.protocols = ("clean", "graybox", "adaptive")
    # Training knows FGSM, PGD and C&W, so one attack at least is none of them.
    fields.attacks = ("fgsm", "pgd", "apgd", "cw")
    fields.epsilon_multiples = (1.0,)
    fields.pgd = dict(num_steps=20, restarts=2)
    fields.cw = dict(num_searches=6, num_steps=50, learning_rate=1e-3)
    # Attacks after these on what is still classified correctly: "", "short" or "full",
    # see experiments/attack_suite.py. In each of these norms, in batches of this size;
    # `max_examples` in a section below limits how many examples an attack gets.
    fields.suite = ""
    fields.suite_norms = ("linf", "l2")
    fields.suite_batch_size = 128
    # Radii of security curves, as multiples of the budget, beside those with all
    # attacks: distances of one minimal-norm search (FAB), then APGD on what is left.
    fields.curve_multiples = ()
    fields.minimal_norm = dict(num_steps=50, restarts=2)
    fields.twin = dict(fractions=(0.25, 0.75, 1.0, 1.5, 2.0))
    fields.template = dict(fractions=(0.5, 1.0))
    fields.signed_score = dict(num_steps=20)
    fields.apgd = dict(num_steps=50, restarts=2)
    fields.fab = dict(num_steps=50, restarts=2)
    fields.fmn = dict(num_steps=100)
    fields.subband = dict(num_steps=40)  # of the approximation
    fields.details = dict(num_steps=40)
    fields.square = dict(num_queries=1000)
    fields.square_blocks = dict(num_queries=500)  # of approximation pixels
    fields.coarse = dict(num_queries=600)
    fields.noise = dict(num_samples=1000, max_examples=32)
    # Steps of the APGD that climbs from the starts that these attacks prepare.
    fields.threshold_estimator = dict(num_steps=30)
    fields.threshold_crossing = dict(num_steps=30, rounds=20)
    fields.warm_starts = dict(num_steps=15, enlargement=2.0, corner_levels=(1,))
    # Graybox C&W: confidences as multiples of the surrogate's median clean margin.
    fields.graybox_confidences = (0.0, 0.5, 1.0, 2.0)
    # Other backward passes of the denoiser that adaptive attacks also follow.
    fields.backward_modes = ("identity", "smooth")
    # Images on which they are followed: "all", or "survivors" of the exact pass. Which
    # decisions fall is the same; a broken arm takes a third of the time, and distances
    # and confidences are those of the exact pass where it succeeded.
    fields.backward_modes_on = "all"
    # Workdir of a finished run whose "undefended" arm crafts the graybox images; unset:
    # the "undefended" arm of this run.
    fields.surrogate = placeholder(str)
    # More of them, each a run of another seed on the same split: the undefended arm
    # under their images is the control.
    fields.surrogates = ()
    # JSON of experiments.ceiling on the same cohort, for the bracket of what can be
    # reached; it has to have the radii evaluated.
    fields.bracket = placeholder(str)
    fields.baselines = False
    # Arm that the others are compared with; the first if empty.
    fields.reference_arm = ""
    # Whether the numbers can be trusted: "outcomes" checks what was recorded, "full"
    # computes too, "none". Unset: "outcomes", and "full" under `evaluate --strict`.
    fields.checks = placeholder(str)
    fields.check_sizes = dict(
        num_examples=64, noise_examples=32, noise_samples=10_000, square_queries=1000
    )
    # Examples an arm in the picture gallery; 0 for none.
    fields.gallery_examples = 6
    return fields


def certificate_fields() -> Config:
    """Randomised smoothing, for `experiments.certify`: `config.certificates`.

    Radii and sigma are in pixel units; times the width of the window they are in
    degrees Celsius.
    """
    fields: Config = ml_collections.ConfigDict()
    fields.set = "test_pairs"
    fields.max_examples = 100  # the first ones
    fields.sigmas = (0.1,)
    fields.num_selection = 100
    fields.num_samples = 1000
    # Probability, for each image, that its certificate is false.
    fields.alpha = 1e-3
    fields.batch_size = 8  # images, each with `noise_batch` draws at once
    fields.noise_batch = 32
    fields.radii = (0.0, 0.05, 0.1, 0.2)
    # Attack on the smoothed classifier, in L2, with so many draws a gradient. The last
    # point of each start is kept: the best of many would be that of the luckiest noise.
    # Fresh draws judge it: decisions are made at level `predict_alpha`, certificates
    # refuted at level `judge_alpha`.
    fields.attack = dict(num_steps=10, keep="last", schedule="linear")
    fields.attack_samples = 8
    fields.judge_samples = 1000
    fields.predict_alpha = 1e-3
    fields.judge_alpha = 1e-7
    return fields


def detection_fields() -> Config:
    """Detectors of attacks, for `experiments.detect`: `config.detection`."""
    fields: Config = ml_collections.ConfigDict()
    # "removed_energy" (by the denoiser), "removed_energy_subbands" (each one a score of
    # its own) and "prediction_change" (of the network, with and without the denoiser).
    fields.scores = (
        "removed_energy", "removed_energy_subbands", "prediction_change"
    )  # fmt: skip
    fields.max_examples = 200  # test images
    # The attacker who knows the detector, see `attacks.DetectorAwarePGD`; the one who
    # does not is `evaluation.pgd`.
    fields.aware_pgd = dict(num_steps=50, restarts=1)
    # Images, of test and validation each, whose physics consistency is scored, by four
    # fits of the patient twin each, of some seconds. Simulated cohorts alone; 0 is off.
    fields.physics_examples = 0
    return fields


def shrink_evaluation(config: Config) -> None:
    """Turn the evaluation of any config into one of a few seconds."""
    config.evaluation.batch_size = 16
    config.evaluation.pgd = dict(num_steps=2, restarts=1)
    config.evaluation.cw = dict(num_searches=2, num_steps=3, learning_rate=2e-3)
    config.evaluation.graybox_confidences = (1.0,)
    config.evaluation.suite_batch_size = 8
    for name, few in _SMOKE_SETTINGS.items():
        config.evaluation[name].update(few)
    config.evaluation.check_sizes = dict(
        num_examples=8, noise_examples=4, noise_samples=20, square_queries=20
    )
    config.certificates.max_examples = 8
    config.certificates.num_selection = 10
    config.certificates.num_samples = 40
    config.certificates.radii = (0.0, 0.1)
    config.certificates.attack.num_steps = 2
    config.certificates.attack_samples = 2
    config.certificates.judge_samples = 40
    config.evaluation.gallery_examples = 2
    config.detection.aware_pgd.num_steps = 3


_SMOKE_SETTINGS: dict[str, dict[str, int]] = {
    "signed_score": dict(num_steps=2),
    "apgd": dict(num_steps=3, restarts=1),
    "fab": dict(num_steps=2, restarts=1),
    "minimal_norm": dict(num_steps=2, restarts=1),
    "fmn": dict(num_steps=3),
    "subband": dict(num_steps=2),
    "details": dict(num_steps=2),
    "square": dict(num_queries=5),
    "square_blocks": dict(num_queries=5),
    "coarse": dict(num_queries=5),
    "noise": dict(num_samples=5, max_examples=4),
    "threshold_estimator": dict(num_steps=2),
    "threshold_crossing": dict(num_steps=2, rounds=2),
    "warm_starts": dict(num_steps=2),
}

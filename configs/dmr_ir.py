r"""Real thermograms: the DMR-IR database, by patient-disjoint cross-validation.

Reads the raw folder of a user (`matrices/*.txt`, `diagnosis.csv`). The labels of this
set can be guessed from the patient number, the room temperature or the sensor's noise:
the trivial baselines stand in the results as arms `baseline:...`, and an accuracy near
theirs says nothing about disease. Threat model: Linf, epsilon = 0.125 °C.

    python -m experiments.train --config=configs/dmr_ir.py \
        --config.data.manual_dir=FOLDER

A short version:

    python -m experiments.train --config=configs/dmr_ir.py:smoke \
        --config.data.manual_dir=FOLDER

Result: not published; the images may not be redistributed.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "dmr_ir"
    config.data.builder = "dmr_ir/frontal"  # or "dmr_ir/static", "dmr_ir/dynamic"
    # Patients without all images: "refuse" the folder, or "leave_out" the patients.
    config.data.options.incomplete = "refuse"
    config.data.num_folds = 5
    config.data.validation_fraction = 0.2
    config.evaluation.baselines = True
    config.model.level = 3  # 96 x 128 pixels
    config.training.batch_size = 32
    config.training.learning_rate = 2e-3
    config.training.eval_every = 50
    config.arm.undefended.num_steps = 200
    config.arm.wbad.num_steps = 200
    if mode == "smoke":
        default.shrink_for_smoke(config)
        config.data.num_folds = 2
    return config

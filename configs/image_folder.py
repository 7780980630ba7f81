r"""Your own thermograms: a folder of pictures, by patient-disjoint cross-validation.

Sub-folders name the class of each picture, and a regular expression finds the patient
in its path; or a table has the columns file, label and patient_id. See `docs/data.md`.
Threat model: Linf, epsilon = 0.125 °C. The trivial baselines stand in the results as
arms `baseline:...`: an accuracy near theirs says nothing about disease. Research only,
no diagnostic device.

    python -m experiments.train --config=configs/image_folder.py \
        --config.data.manual_dir=FOLDER \
        --config.data.options.patient_pattern='IIR(?P<patient>\d+)_'

A short version:

    python -m experiments.train --config=configs/image_folder.py:smoke ...

Result: depends on your folder.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "image_folder"
    config.data.builder = "image_folder/folder"
    options = ml_collections.ConfigDict()
    options.classes = ("healthy", "tumour")  # sub-folders or labels, the healthy first
    options.table = placeholder(str)  # CSV file with the columns file,label,patient_id
    options.patient_pattern = placeholder(str)  # where no column names the patient
    options.scalars = ()  # further columns of numbers, to audit
    options.body = "frame"  # the whole frame; or "find", or "masks" beside the pictures
    options.mask_background = True
    options.height = 128
    options.width = 128
    options.channels = 1
    # Degrees Celsius of pixel values 0 and 1; for grey levels, of black and white. If
    # unset, grey levels stand for no temperature, and attack.epsilon has to be set.
    options.window = placeholder(tuple)
    options.white_level = placeholder(int)  # of grey levels; the largest of their type
    config.data.options = options
    config.data.num_folds = 5
    config.data.validation_fraction = 0.2
    config.evaluation.baselines = True
    config.training.batch_size = 32
    config.training.learning_rate = 2e-3
    config.training.eval_every = 50
    config.arm.undefended.num_steps = 200
    config.arm.wbad.num_steps = 200
    if mode == "smoke":
        default.shrink_for_smoke(config)
        config.data.num_folds = 2
    return config

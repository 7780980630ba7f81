r"""Any image data set of TFDS, by patient-disjoint cross-validation.

The options say which features hold the image, the class and the patient; see
`docs/data.md`. Threat model: Linf, epsilon = 2/255 of the pixel range. Research only,
no diagnostic device.

    python -m experiments.train --config=configs/tfds.py \
        --config.data.builder=tfds:NAME --config.data.options.patient_key=KEY

A short version:

    python -m experiments.train --config=configs/tfds.py:smoke ...

Result: depends on the data set.
"""

from ml_collections.config_dict import placeholder

from configs import image_folder
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    config = image_folder.get_config(mode)
    config.name = "tfds"
    config.data.builder = "tfds:NAME"
    options = config.data.options
    for name in ("table", "patient_pattern", "body"):  # of folders alone
        del options[name]
    options.split = "train"  # of TFDS; "train+test" takes both
    options.image_key = "image"
    options.label_key = "label"
    # Names of the classes in the data set, the healthy first; unset: 0 and 1.
    options.classes = placeholder(tuple)
    options.patient_key = placeholder(str)
    # Say so where no feature names the patient, and each has one image.
    options.one_image_per_patient = False
    config.attack.epsilon = 2 / 255
    return config

import dataclasses
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import configs.tfds
from experiments import cohort
from wbad_jax import data
from wbad_jax.data import DataError, PixelSettings, TfdsSettings

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (6, 9, 12, 1), dtype=np.uint8)
DEGREES = rng.uniform(24, 35, (6, 9, 12)).astype(np.float32)
WOMEN = ["eve", "ann", "eve", "bea", "ann", "zoe"]


def png(pixels):
    """A file: TFDS needs TensorFlow to make one of an array."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "PNG")
    file.seek(0)
    return file


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Six pictures of four women; class 0 is ill."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {"1.2.0": "First."}

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1)),
            "celsius": tfds.features.Tensor(shape=(9, 12), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=["ill", "well"]),
            "woman": tfds.features.Text(),
            "wide": tfds.features.Tensor(shape=(9, 12), dtype=np.int64),
            "number": np.int64,
            "age": np.float32,
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(5)}

    def _generate_examples(self, first):
        for row in range(first, 6 if first else 5):
            yield (
                row,
                {
                    "image": png(PICTURES[row]),
                    "celsius": DEGREES[row],
                    "wide": PICTURES[row, ..., 0].astype(np.int64),
                    "label": int(WOMEN[row] != "eve"),
                    "woman": WOMEN[row],
                    "number": 40 + len(set(WOMEN[:row])),
                    "age": 30.0 + row,
                },
            )


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """The data set as TFDS keeps it on disk."""
    folder = tmp_path_factory.mktemp("tfds")
    builder = TinyPictures(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return folder


OPTIONS = {
    "height": 9,
    "width": 12,
    "patient_key": "woman",
    "classes": ("well", "ill"),
    "split": "train+test",
}


def load(tfds_dir, **changes):
    options = {**OPTIONS, **changes}
    options = {name: value for name, value in options.items() if value != "drop"}
    return data.load("tfds:tiny_pictures", "unused", tfds_dir, settings=options)


def test_features_become_a_data_set(tfds_dir):
    dataset = load(tfds_dir, scalars=("age",))
    # Alphabetical order: ann, bea, eve, zoe.
    assert dataset.patient_ids.tolist() == [0, 0, 1, 2, 2, 3]
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 0]
    assert dataset.frames.tolist() == [0, 1, 0, 0, 1, 0]
    rows = (dataset.parameters["age"] - 30).astype(int)
    assert [WOMEN[row] for row in rows] == ["ann", "ann", "bea", "eve", "eve", "zoe"]
    np.testing.assert_allclose(dataset.images, PICTURES[rows] / 255, atol=2e-5)
    assert dataset.masks.all()
    assert (dataset.name, dataset.version) == ("tfds:tiny_pictures", "1.2.0")
    assert dataset.window == data.PIXEL_UNITS
    assert len(set(dataset.example_ids)) == 6


def test_temperatures_and_numbered_patients(tfds_dir):
    dataset = load(
        tfds_dir,
        image_key="celsius",
        window=(22.0, 38.0),
        patient_key="number",
        split="train",
    )
    assert sorted(set(dataset.patient_ids)) == [40, 41, 42, 43]
    celsius = np.sort(dataset.images.ravel() * 16 + 22)
    np.testing.assert_allclose(celsius, np.sort(DEGREES[:5].ravel()), atol=2e-4)


def test_labels_of_0_and_1_need_no_names(tfds_dir):
    assert load(tfds_dir, classes=None, split="test").labels.tolist() == [1]
    assert load(tfds_dir, split="test").labels.tolist() == [0]


def test_one_image_a_patient_only_if_told(tfds_dir):
    dataset = load(tfds_dir, patient_key=None, one_image_per_patient=True)
    assert dataset.patient_ids.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient_key": None}, "patient of each image must be known.*patient_key, or"),
        ({"one_image_per_patient": True}, "patient of each image must be known"),
        ({"patient_key": "patient"}, "patient_key must be a feature of .*'patient'"),
        ({"image_key": "picture"}, "image_key must be a feature .*got 'picture'"),
        ({"label_key": "class"}, "label_key must be a feature .*got 'class'"),
        ({"scalars": ("room",)}, "scalars: room must be a feature"),
        ({"split": "validation"}, r"split must be made of \['test', 'train'\]"),
        ({"classes": ("well", "sick")}, "a label must be one of .*got 'ill'"),
        ({"image_key": "celsius"}, "Are they temperatures"),
        ({"image_key": "wide"}, "levels of type int64 need white_level"),
        ({"heigth": 3}, "Unknown setting 'heigth'. Known: .*height"),
        ({"channels": 3}, "must have 3 channels, got 1"),
    ],
)
def test_wrong_options_are_named(tfds_dir, changes, message):
    with pytest.raises(DataError, match=message):
        load(tfds_dir, **changes)


@pytest.mark.parametrize(
    "name", ["tfds:", "tfds:../x", "tfds:huggingface:x", "tfds:a b", "tfds:X"]
)
def test_names_are_those_of_tfds_itself(name):
    with pytest.raises(DataError, match=r"must be named tfds:NAME.*got 'tfds:"):
        data.load(name, "unused", settings=OPTIONS)


def test_the_config_has_the_options(tfds_dir):
    config = configs.tfds.get_config()
    config.data.builder = "tfds:tiny_pictures"
    config.data.manual_dir = str(tfds_dir)
    config.data.options.update(OPTIONS)
    dataset = cohort.load(config.lock())
    assert (len(dataset), dataset.window) == (6, data.PIXEL_UNITS)
    fields = dataclasses.fields
    known = {f.name for f in (*fields(TfdsSettings), *fields(PixelSettings))}
    assert set(config.data.options) == known - {"pixels"}


def test_no_such_data_set(tmp_path):
    with pytest.raises(DataError, match="tfds:no_such_pictures cannot be prepared"):
        data.load("tfds:no_such_pictures", "unused", tmp_path, settings=OPTIONS)

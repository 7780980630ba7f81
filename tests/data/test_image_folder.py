import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from wbad_jax import data
from wbad_jax.data import DataError

PATTERN = r"p(?P<patient>\d+)_"
SMALL = {"height": 16, "width": 20, "patient_pattern": PATTERN}
rng = np.random.default_rng(0)
LEVELS = rng.integers(60, 200, (24, 30), dtype=np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two healthy and two ill patients, the last with two pictures."""
    root = tmp_path / "pictures"
    for label, patients in (("healthy", (3, 1)), ("tumour", (2, 4))):
        for patient in patients:
            save(root / label / f"p{patient}_a.png", LEVELS + np.uint8(patient))
    save(root / "tumour" / "later" / "p4_b.png", LEVELS)
    return root


def load(root, tmp_path, **changes):
    return data.load(
        "image_folder", tmp_path / "tfds", root, settings={**SMALL, **changes}
    )


def test_folders_are_classes_and_paths_name_patients(folder, tmp_path):
    dataset = load(folder, tmp_path)
    assert dataset.patient_ids.tolist() == [1, 2, 3, 4, 4]
    assert dataset.labels.tolist() == [0, 1, 0, 1, 1]
    assert dataset.frames.tolist() == [0, 0, 0, 0, 1]
    assert dataset.example_ids.tolist()[-2:] == [
        "tumour/p4_a.png",
        "tumour/later/p4_b.png",
    ]
    assert dataset.images.shape == (5, 16, 20, 1)
    assert dataset.masks.all()
    assert dataset.factual.all()
    assert dataset.window == data.PIXEL_UNITS
    assert dataset.parameters["file_rows"].tolist() == [24] * 5
    assert dataset.parameters["file_size"][0] > 100
    assert "acquisition_day" not in dataset.parameters


@pytest.mark.parametrize(
    ("suffix", "array", "expected"),
    [
        (".png", LEVELS, LEVELS / 255),
        (".png", LEVELS.astype(np.uint16) * 256, LEVELS / 255.99609375),
        (".tif", LEVELS.astype(np.uint16) * 256, LEVELS / 255.99609375),
        (".tiff", LEVELS, LEVELS / 255),
        (".png", np.repeat(LEVELS[..., None], 3, axis=2), LEVELS / 255),
    ],
)
def test_grey_levels_are_a_share_of_white(folder, tmp_path, suffix, array, expected):
    save(folder / "healthy" / f"p0_x{suffix}", array)
    dataset = load(folder, tmp_path, height=24, width=30)
    np.testing.assert_allclose(dataset.images[0, ..., 0], expected, atol=2e-5)


def test_jpeg_loses_little(folder, tmp_path):
    smooth = np.linspace(60, 200, 720).reshape(24, 30).astype(np.uint8)
    save(folder / "healthy" / "p0_x.JPG", smooth, quality=95)
    dataset = load(folder, tmp_path, height=24, width=30)
    np.testing.assert_allclose(dataset.images[0, ..., 0], smooth / 255, atol=0.02)


def test_a_window_gives_grey_levels_temperatures(folder, tmp_path):
    dataset = load(folder, tmp_path, window=(20.0, 36.0))
    plain = load(folder, tmp_path)
    assert dataset.window == (20.0, 36.0)
    np.testing.assert_allclose(dataset.images, plain.images, atol=1e-5)
    np.testing.assert_allclose(
        dataset.noise_celsius, 16 * plain.noise_celsius, rtol=1e-5
    )


def test_white_may_be_another_level(folder, tmp_path):
    for path in folder.rglob("*.png"):
        save(path, LEVELS.astype(np.uint16) * 16)
    dataset = load(folder, tmp_path, height=24, width=30, white_level=4095)
    np.testing.assert_allclose(dataset.images[0, ..., 0], LEVELS / 255.9375, atol=2e-5)
    with pytest.raises(DataError, match=r"grey levels must be in 0 .. 3000, got"):
        load(folder, tmp_path, white_level=3000)


CELSIUS = np.linspace(24, 35, 720).reshape(24, 30)


@pytest.mark.parametrize("separator", [" ", ";", ",", "\t"])
def test_text_holds_temperatures(folder, tmp_path, separator):
    suffix = ".csv" if separator == "," else ".txt"
    path = folder / "healthy" / f"p0_x{suffix}"
    np.savetxt(path, CELSIUS, fmt="%.3f", delimiter=separator)
    dataset = load(folder, tmp_path, height=24, width=30, window=(22.0, 38.0))
    got = dataset.images[0, ..., 0] * 16 + 22
    np.testing.assert_allclose(got, CELSIUS, atol=2e-3)
    with pytest.raises(DataError, match=r"p0_x.*temperatures\? Then give a window"):
        load(folder, tmp_path)


def test_floating_point_tiff_holds_temperatures(folder, tmp_path):
    save(folder / "healthy" / "p0_x.tif", CELSIUS.astype(np.float32))
    dataset = load(folder, tmp_path, height=24, width=30, window=(22.0, 38.0))
    np.testing.assert_allclose(dataset.images[0, ..., 0] * 16 + 22, CELSIUS, atol=2e-3)


def test_colours_only_if_told(folder, tmp_path):
    colour = rng.integers(0, 255, (24, 30, 3), dtype=np.uint8)
    for path in folder.rglob("*.png"):
        save(path, colour)
    with pytest.raises(
        DataError, match="p1_a.png: this picture is coloured.*channels=3"
    ):
        load(folder, tmp_path)
    dataset = load(folder, tmp_path, channels=3, height=24, width=30)
    np.testing.assert_allclose(dataset.images[0], colour / 255, atol=2e-5)
    assert dataset.masks.shape == (5, 24, 30, 1)


def test_masks_tell_the_body(folder, tmp_path):
    body = np.zeros((24, 30), bool)
    body[:, 10:20] = True
    for path in folder.rglob("*.png"):
        save(folder / "masks" / path.relative_to(folder), body.astype(np.uint8))
    changes = {"body": "masks", "height": 24, "width": 30}
    dataset = load(folder, tmp_path, **changes)
    np.testing.assert_array_equal(dataset.masks[2, ..., 0], body)
    np.testing.assert_allclose(dataset.images[~dataset.masks], 0.5, atol=1e-4)
    kept = load(folder, tmp_path, mask_background=False, **changes)
    assert np.abs(kept.images[~kept.masks] - 0.5).max() > 0.1
    save(folder / "masks" / "healthy" / "p1_a.png", body[:, :9].astype(np.uint8))
    with pytest.raises(DataError, match="masks/healthy/p1_a.png: .*24 x 30.*24 x 9"):
        load(folder, tmp_path, **changes)
    (folder / "masks" / "healthy" / "p1_a.png").unlink()
    with pytest.raises(DataError, match="healthy/p1_a.png: its mask .* is missing"):
        load(folder, tmp_path, **changes)


def test_the_body_can_be_found(folder, tmp_path):
    warm = np.full((24, 30), 40, np.uint8)
    warm[:, 8:22] = 180
    for path in folder.rglob("*.png"):
        save(path, warm)
    dataset = load(folder, tmp_path, body="find", height=24, width=30)
    np.testing.assert_array_equal(dataset.masks[0, ..., 0], warm > 100)


def write_table(folder, *lines, head="file,label,patient_id,date,age"):
    (folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")


TABLE = {"table": "labels.csv", "patient_pattern": None, "scalars": ("age",)}
ROWS = [
    "healthy/p1_a.png,healthy,ann,2012-05-04,50",
    "healthy/p3_a.png,healthy,eve,2012-05-05,",
    "tumour/p2_a.png,tumour,bea,,70",
]


def test_a_table_names_label_patient_date_and_numbers(folder, tmp_path):
    write_table(folder, *ROWS)
    dataset = load(folder, tmp_path, **TABLE)
    # Numbered in alphabetical order: ann, bea, eve.
    assert dataset.patient_ids.tolist() == [0, 1, 2]
    assert dataset.labels.tolist() == [0, 1, 0]
    years = dataset.parameters["acquisition_year"]
    np.testing.assert_array_equal(years, [2012, np.nan, 2012])
    np.testing.assert_array_equal(dataset.parameters["age"], [50, 70, np.nan])


def test_changed_options_and_files_are_read_again(folder, tmp_path, capsys):
    first = load(folder, tmp_path)
    assert "Preparing" in capsys.readouterr().out
    load(folder, tmp_path)
    assert "Preparing" not in capsys.readouterr().out
    assert load(folder, tmp_path, height=8).images.shape[1] == 8
    assert load(folder, tmp_path, window=(20.0, 36.0)).window == (20.0, 36.0)
    save(folder / "healthy" / "p3_a.png", 255 - LEVELS)
    assert (load(folder, tmp_path).images[2] != first.images[2]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient_pattern": None}, "must know the patient of each picture"),
        ({"patient_pattern": r"p(\d+)_"}, "must have a group named patient"),
        ({"patient_pattern": "p(?P<patient>"}, "must be a regular expression"),
        ({"patient_pattern": r"q(?P<patient>\d+)"}, "finds no patient in this path"),
        ({"patient_pattern": r"p(?P<patient>\d*)x?"}, None),
        ({"classes": ("benign", "malignant")}, "one folder for each class.*healthy"),
        ({"classes": ("healthy",)}, "two or more different names"),
        ({"classes": ("healthy", "healthy")}, "two or more different names"),
        ({"body": "skin"}, "body must be one of .*'skin'"),
        ({"scalars": ("age",)}, r"scalars \('age',\) are columns of a table"),
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"height": 0}, "height must be a whole number of at least 1, got 0"),
        ({"window": (38.0, 22.0)}, "window needs low < high, got 38.0 .. 22.0"),
        ({"colour": 1}, "Unknown setting 'colour'. Known: .*patient_pattern"),
        ({"table": "absent.csv"}, "absent.csv: this table of pictures is missing"),
        ({"table": "../x.csv"}, "leads outside by '..' or a link"),
    ],
)
def test_wrong_options_are_named(folder, tmp_path, changes, message):
    if message is None:
        assert len(load(folder, tmp_path, **changes)) == 5
        return
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path, **changes)
    assert not list((tmp_path / "tfds").rglob("*array_record*"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../x.png,healthy,a,,1", "line 5: .*leads outside by '..' or a link"),
        ("/etc/passwd,healthy,a,,1", "line 5: .*leads outside"),
        ("healthy/../healthy/p1_a.png,healthy,a,,1", "line 5: .*leads outside"),
        ("absent.png,healthy,a,,1", "file must be a picture .*'absent.png'"),
        ("healthy,healthy,a,,1", "file must be a picture .*'healthy'"),
        ("labels.csv,healthy,a,,1", "labels.csv, row 1|labels.csv"),
        ("tumour/p4_a.png,ill,a,,1", "line 5: label must be one of .*'ill'"),
        ("tumour/p4_a.png,tumour,,,1", "line 5: the patient of .*p4_a.* not named"),
        ("tumour/p4_a.png,tumour,a,5.4.2012,1", "date must be like 2019-09-25"),
        ("tumour/p4_a.png,tumour,a,,old", "age must be a number, got 'old'"),
        ("healthy/p1_a.png,tumour,a,,1", "listed twice, also as healthy/p1_a.png"),
        ("tumour/p4_a.png", "label must be one of"),
    ],
)
def test_bad_rows_of_a_table_are_named(folder, tmp_path, row, message):
    write_table(folder, *ROWS, row)
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path, **TABLE)


@pytest.mark.parametrize(
    ("head", "changes", "message"),
    [
        ("file,label,age", {}, "the patient of each picture must be known"),
        ("file,label,patient_id,age", {"patient_pattern": PATTERN}, "which is right"),
        ("name,label,patient_id,age", {}, "the column file is missing"),
        ("file,label,patient_id", {}, "the column age is missing"),
        ("file,label,patient_id,frame_number", {"scalars": ("file_size",)}, "own"),
    ],
)
def test_bad_tables_are_named(folder, tmp_path, head, changes, message):
    write_table(folder, head=head)
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path, **{**TABLE, **changes})


def test_an_empty_table_is_refused(folder, tmp_path):
    write_table(folder)
    with pytest.raises(DataError, match="holds no picture"):
        load(folder, tmp_path, **TABLE)


def test_a_table_with_a_pattern_in_place_of_a_column(folder, tmp_path):
    write_table(
        folder, "tumour/p4_a.png,tumour", "healthy/p1_a.png,healthy", head="file,label"
    )
    dataset = load(folder, tmp_path, table="labels.csv")
    assert dataset.patient_ids.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p9_.png", b"not a picture", "p9_.png: this picture cannot be read"),
        ("p9_.png", b"", "p9_.png: this picture cannot be read"),
        ("p9_.jpg", b"\xff\xd8\xff\xe0broken", "p9_.jpg: this picture cannot be read"),
        ("p9_.txt", b"30.1 30.2\n30.1\n", "p9_.txt, row 2: a row must have 2"),
        ("p9_.csv", b"30.1,x\n", "p9_.csv, row 1, column 2: 'x' is not a number"),
        ("p9_.txt", b"", "must have 1 rows, got 0"),
        ("p9_\n.png", b"", "the name of a file must be printable"),
    ],
)
def test_damaged_files_are_named(folder, tmp_path, name, content, message):
    (folder / "healthy" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path, window=(22.0, 38.0))


def test_a_truncated_picture_is_named(folder, tmp_path):
    path = folder / "healthy" / "p1_a.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="p1_a.png: this picture cannot be read"):
        load(folder, tmp_path)


def test_odd_pictures_are_refused(folder, tmp_path):
    path = folder / "healthy" / "p1_a.png"
    clear = np.dstack([LEVELS, LEVELS, LEVELS, LEVELS])
    save(path, clear)
    with pytest.raises(DataError, match="p1_a.png: a picture must not be transparent"):
        load(folder, tmp_path)
    save(path, LEVELS > 100)
    with pytest.raises(DataError, match="p1_a.png: a picture must be grey.*mode '1'"):
        load(folder, tmp_path)
    frames = [Image.fromarray(LEVELS), Image.fromarray(LEVELS)]
    path.unlink()
    frames[0].save(path.with_suffix(".tif"), save_all=True, append_images=frames[1:])
    with pytest.raises(
        DataError, match="p1_a.tif: a file must hold one picture, got 2"
    ):
        load(folder, tmp_path)


def test_links_may_not_lead_outside(folder, tmp_path):
    secret = tmp_path / "secret"
    save(secret / "p5_a.png", LEVELS)
    link = folder / "healthy" / "p5_a.png"
    link.symlink_to(secret / "p5_a.png")
    with pytest.raises(DataError, match="p5_a.png' must lie in .* or a link"):
        load(folder, tmp_path)
    link.unlink()
    (folder / "healthy" / "more").symlink_to(secret)
    with pytest.raises(DataError, match="more: links to folders are not followed"):
        load(folder, tmp_path)
    (folder / "healthy" / "more").unlink()
    os.rename(folder / "healthy", tmp_path / "healthy")
    (folder / "healthy").symlink_to(tmp_path / "healthy")
    with pytest.raises(DataError, match="healthy' must lie in .* or a link"):
        load(folder, tmp_path)


def test_files_of_other_kinds_are_left_out_and_named(folder, tmp_path, capsys):
    (folder / "healthy" / "notes.md").write_text("x")
    (folder / "healthy" / ".DS_Store").write_text("x")
    assert len(load(folder, tmp_path)) == 5
    assert "healthy: left out 1 files of other kinds: 'notes.md'" in (
        capsys.readouterr().out
    )


def test_a_patient_of_two_classes_is_refused_by_every_split(folder, tmp_path):
    save(folder / "healthy" / "p4_c.png", LEVELS)
    with pytest.raises(DataError, match="Patient 4 has factual examples of labels"):
        data.split_by_patient(
            load(folder, tmp_path), {"train": 0.5, "test": 0.5}, seed=0
        )


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.PixelSettings().height = 3

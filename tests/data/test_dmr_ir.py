import datetime
import os
import shutil

import numpy as np
import pytest
from sklearn import metrics

from wbad_jax import data

SHAPE = (48, 64)
SETTINGS = {"matrix_shape": SHAPE, "height": 24, "width": 32}


@pytest.fixture
def manual_dir(tmp_path):
    """Eight patients in the two dialects of the real folder."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "manual"
    (folder / "matrices").mkdir(parents=True)
    lines = ["ID,Diagnosis"]
    for patient in (1, 2, 3, 5, 8, 13, 21, 34):
        celsius = rng.normal(22.0, 0.05, SHAPE)
        celsius[6:, 10:54] += 9.0 + 0.05 * patient
        new = patient > 10
        np.savetxt(
            folder / "matrices" / f"T{patient:04d}.txt",
            celsius,
            fmt="%.5f" if new else "%.2f",
            delimiter=";" if new else " ",
        )
        lines.append(f"{patient},{'Sick' if new else 'Healthy'}")
    (folder / "diagnosis.csv").write_text("\n".join(lines) + "\n")
    return folder


def load(manual_dir, tmp_path, **changes):
    settings = {**SETTINGS, **changes}
    return data.load("dmr_ir", tmp_path / "tfds", manual_dir, settings=settings)


def test_round_trip(manual_dir, tmp_path, capsys):
    dataset = load(manual_dir, tmp_path)
    assert "Preparing dmr_ir/frontal" in capsys.readouterr().out
    assert dataset.images.shape == dataset.masks.shape == (8, 24, 32, 1)
    assert dataset.images.dtype == np.float32
    assert dataset.patient_ids.tolist() == [1, 2, 3, 5, 8, 13, 21, 34]
    assert dataset.labels.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert dataset.example_ids[0] == "T0001"
    assert dataset.factual.all()
    assert dataset.window == (22.0, 38.0)
    np.testing.assert_allclose(dataset.images[~dataset.masks], 0.5, atol=1e-4)
    inside = dataset.images[0][dataset.masks[0]] * 16 + 22
    np.testing.assert_allclose(inside, 31.05, atol=0.1)
    np.testing.assert_allclose(dataset.background_celsius, 22.0, atol=0.02)
    np.testing.assert_allclose(dataset.noise_celsius, 0.05, atol=0.015)


def test_second_load_reads_what_the_first_wrote(manual_dir, tmp_path, capsys):
    first = load(manual_dir, tmp_path)
    capsys.readouterr()
    second = load(manual_dir, tmp_path)
    assert not capsys.readouterr().out
    np.testing.assert_array_equal(first.images, second.images)


def test_a_changed_folder_is_read_again(manual_dir, tmp_path):
    load(manual_dir, tmp_path)
    table = manual_dir / "diagnosis.csv"
    table.write_text(table.read_text().replace("1,Healthy\n2", "1,Sick\n2"))
    assert load(manual_dir, tmp_path).labels[0] == 1


def test_another_folder_is_read_again(manual_dir, tmp_path):
    load(manual_dir, tmp_path)
    other = tmp_path / "other"
    shutil.copytree(manual_dir, other)
    (other / "matrices" / "T0034.txt").unlink()
    table = other / "diagnosis.csv"
    table.write_text(table.read_text().replace("34,Sick\n", ""))
    assert len(load(other, tmp_path)) == 7


def test_background_can_be_kept(manual_dir, tmp_path):
    dataset = load(manual_dir, tmp_path, mask_background=False, window=(18.0, 38.0))
    wall = dataset.images[~dataset.masks] * 20 + 18
    assert np.median(wall) == pytest.approx(22.0, abs=0.2)


def test_nothing_is_left_after_a_bad_file(manual_dir, tmp_path):
    """The last file is bad: all before it were read, and none may be kept."""
    path = manual_dir / "matrices" / "T0034.txt"
    good = path.read_text()
    path.write_text(good[: len(good) // 2])
    with pytest.raises(data.DataError, match=r"T0034.txt.*truncated"):
        load(manual_dir, tmp_path)
    assert not list((tmp_path / "tfds").rglob("*array_record*"))
    path.write_text(good)
    assert len(load(manual_dir, tmp_path)) == 8


def test_errors_of_the_folder_reach_the_caller(manual_dir, tmp_path):
    (manual_dir / "matrices" / "T0008.txt").unlink()
    with pytest.raises(data.DataError, match="no matrix for patient 8"):
        load(manual_dir, tmp_path)
    (manual_dir / "diagnosis.csv").unlink()
    with pytest.raises(data.DataError, match="diagnosis.csv: this table"):
        load(manual_dir, tmp_path)


def write_series(folder, protocol, visit, patients, views, frames):
    """Matrices named with dots; sick patients in the new dialect, years later."""
    rng = np.random.default_rng(1)
    lines = ["ID,Diagnosis"]
    for patient in patients:
        sick = patient % 2
        for view in views:
            for frame in frames:
                celsius = rng.normal(22.0, 0.05, SHAPE)
                celsius[6:, 10:54] += 9.0 + frame
                date = "2019-05-04" if sick else "2012-05-04"
                name = (
                    f"T{patient:04d}.{visit}.{view}.{protocol}.{date}.{frame:02d}.txt"
                )
                np.savetxt(
                    folder / "matrices" / name,
                    celsius,
                    fmt="%.5f" if sick else "%.2f",
                    delimiter=";" if sick else " ",
                )
        lines.append(f"{patient},{'Sick' if sick else 'Healthy'}")
    (folder / "diagnosis.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def series_dir(tmp_path):
    """Three patients with all views, two frames, and a second visit."""
    folder = tmp_path / "series"
    (folder / "matrices").mkdir(parents=True)
    write_series(folder, "S", 1, (4, 5, 7), range(1, 6), (0,))
    write_series(folder, "S", 2, (4, 5, 7), (1,), (0,))
    write_series(folder, "D", 1, (4, 5, 7), (1, 2), (0, 1))
    return folder


def load_as(name, folder, tmp_path, **changes):
    settings = {**SETTINGS, **changes}
    return data.load(f"dmr_ir/{name}", tmp_path / "tfds", folder, settings=settings)


def test_five_views_of_a_patient(series_dir, tmp_path):
    dataset = load_as("static", series_dir, tmp_path)
    assert dataset.patient_ids.tolist() == [4] * 5 + [5] * 5 + [7] * 5
    assert dataset.frames.tolist() == [0, 1, 2, 3, 4] * 3
    assert dataset.parameters["view"].tolist() == [0, 1, 2, 3, 4] * 3
    assert dataset.labels.tolist() == [0] * 5 + [1] * 10
    assert dataset.example_ids[6] == "T0005.1.2.S.2019-05-04.00"
    assert (dataset.images.shape, dataset.name) == (
        (15, 24, 32, 1),
        load_name("static"),
    )
    assert len(load_as("frontal", series_dir, tmp_path)) == 3


def load_name(config):
    """Of the config with the settings of these tests."""
    return f"dmr_ir/{data.find_builder(f'dmr_ir/{config}', SETTINGS)[1].name}"


def test_frames_of_a_series(series_dir, tmp_path):
    dataset = load_as("dynamic", series_dir, tmp_path, images_per_patient=2)
    assert dataset.patient_ids.tolist() == [4, 4, 5, 5, 7, 7]
    assert dataset.frames.tolist() == [0, 1] * 3
    warmer = np.diff([image[mask].mean() for image, mask in body(dataset)])[::2]
    np.testing.assert_allclose(warmer * 16, 1.0, atol=0.02)


def body(dataset):
    return zip(dataset.images, dataset.masks, strict=True)


def test_what_is_known_of_the_acquisition(series_dir, manual_dir, tmp_path):
    known = load_as("frontal", series_dir, tmp_path).parameters
    assert known["acquisition_year"].tolist() == [2012, 2019, 2019]
    assert known["acquisition_day"][0] == datetime.date(2012, 5, 4).toordinal()
    assert known["dialect"].tolist() == [0, 1, 1]
    sizes = [48 * 64 * 6, 48 * 64 * 9, 48 * 64 * 9]
    assert known["file_size"].tolist() == sizes
    # These names hold no date: there is no such parameter, rather than one of NaN.
    assert set(load(manual_dir, tmp_path).parameters) == {
        "dialect", "file_size", "frame", "view",
    }  # fmt: skip


def test_patients_with_another_number_of_images(series_dir, tmp_path, capsys):
    for path in (series_dir / "matrices").glob("T0005.1.3.S*"):
        path.unlink()
    with pytest.raises(
        data.DataError, match="patient 5 has 4 static .* 5 are needed.*leave"
    ):
        load_as("static", series_dir, tmp_path)
    dataset = load_as("static", series_dir, tmp_path, incomplete="leave_out")
    assert set(dataset.patient_ids) == {4, 7}
    assert "other than 5 images: patients [5]" in capsys.readouterr().out
    with pytest.raises(data.DataError, match="incomplete must be one of .*'keep'"):
        load_as("static", series_dir, tmp_path, incomplete="keep")


def test_a_protocol_that_is_not_there(manual_dir, tmp_path):
    with pytest.raises(data.DataError, match="there is no dynamic image"):
        load_as("dynamic", manual_dir, tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "row|truncated"),
        (lambda text: text.replace("\n", "\n\x00", 1), "row 2, column 1"),
        (lambda text: text.replace(".", "..", 1), "row 1, column 1: .* not a number"),
        (lambda text: text.replace(" ", ";"), "row 1|must have"),
        (lambda text: text + text, "48 rows, got 96"),
        (lambda text: "ü" + text, "plain text, got byte 0xc3 at position 0"),
    ],
)
def test_garbled_files_are_named(manual_dir, tmp_path, damage, message):
    path = manual_dir / "matrices" / "T0002.txt"
    garbled = damage(path.read_text())
    path.write_text(garbled, encoding="utf-8")
    if garbled.count(";") == 48 * 63:  # as good as the other dialect
        assert load(manual_dir, tmp_path).parameters["dialect"][1] == 1
        return
    with pytest.raises(data.DataError, match=f"T0002.txt.*({message})"):
        load(manual_dir, tmp_path)


def test_needs_a_manual_dir(tmp_path):
    with pytest.raises(data.DataError, match="dmr_ir needs manual_dir"):
        load(None, tmp_path)
    with pytest.raises(data.DataError, match="absent: manual_dir must be a folder"):
        load(tmp_path / "absent", tmp_path)


def test_the_real_database(tmp_path):
    """Published trivial baselines: the label is in the date and in the room."""
    folder = os.environ.get("WBAD_DMR_IR_DIR")
    if not folder:
        pytest.skip("set WBAD_DMR_IR_DIR to a folder with matrices/ and diagnosis.csv")
    dataset = data.load("dmr_ir", tmp_path, folder)
    assert np.bincount(dataset.labels).tolist() == [95, 67]
    assert dataset.images.shape == (162, 96, 128, 1)
    area = dataset.masks.mean(axis=(1, 2, 3))
    assert area.min() > 0.45
    assert area.max() < 0.9
    healthy = dataset.labels == 0
    assert dataset.background_celsius[healthy].mean() == pytest.approx(22.6, abs=0.3)
    number = metrics.roc_auc_score(dataset.labels, dataset.patient_ids)
    assert number == pytest.approx(0.974, abs=0.005)
    wall = metrics.roc_auc_score(dataset.labels, dataset.background_celsius)
    assert wall == pytest.approx(0.637, abs=0.02)

"""A clean data set passes, and each planted fault is found by its own finding."""

import dataclasses
import json

import numpy as np
import pytest

from tests.data.audited import appended, clean_dataset, repeated, split
from wbad_jax.data.audit import audit_dataset
from wbad_jax.data.findings import worst_status

pytestmark = pytest.mark.fast


def statuses(dataset, parts=None, quick=False):
    findings = audit_dataset(dataset, [parts or split(dataset)], quick=quick)
    json.dumps([dataclasses.asdict(f) for f in findings], allow_nan=False)
    assert len({f.id for f in findings}) == len(findings)
    return {finding.id: finding.status for finding in findings}


def failed(*args, **kwargs):
    found = statuses(*args, **kwargs)
    return {name for name, status in found.items() if status == "fail"}


@pytest.mark.parametrize(
    "seed",
    [*range(3), *(pytest.param(s, marks=pytest.mark.slow) for s in range(3, 20))],
)
@pytest.mark.parametrize("twins", [False, True])
def test_no_false_alarm(seed, twins):
    found = statuses(clean_dataset(seed, twins=twins))
    told = {name: status for name, status in found.items() if status != "pass"}
    # What a tumour does, or does not show to a linear model in 60 patients, may warn.
    for name in (
        ("linear_signal",) if twins else ("linear_signal", "shortcut_haar_details")
    ):
        told.pop(name, None)
    expected = set() if twins else {"twin_labels", "healthy_twins"}
    assert set(told) == expected
    assert set(told.values()) <= {"not_run"}


def test_a_series_of_frames_split_by_patient_is_clean():
    assert not failed(repeated(clean_dataset(0), 4))


def test_cross_validation_is_clean_and_finds_a_copy_in_any_fold():
    dataset = clean_dataset(1)
    folds = [
        {
            "train": np.flatnonzero(dataset.patient_ids % 3 != k),
            "test": np.flatnonzero(dataset.patient_ids % 3 == k),
        }
        for k in range(3)
    ]
    found = audit_dataset(dataset, folds)
    assert worst_status(found) != "fail"
    dataset.images[7] = dataset.images[3]  # remainders 1 and 0: apart in two folds
    found = {f.id: f for f in audit_dataset(dataset, folds)}
    assert found["exact_duplicates"].status == "fail"
    assert found["exact_duplicates"].evidence["pairs_across_parts"] == 1


def test_images_of_a_patient_on_both_sides():
    dataset = repeated(clean_dataset(2), 4)
    shuffled = np.random.default_rng(0).permutation(len(dataset))
    parts = dict(zip(("train", "test"), np.split(shuffled, [180]), strict=True))
    assert failed(dataset, parts) == {"patients_apart", "near_duplicates"}
    assert failed(dataset, parts, quick=True) == {"patients_apart"}


def test_a_simulated_patient_under_two_numbers():
    dataset = clean_dataset(3, twins=True)
    parts = split(dataset)
    seeds = dataset.patient_seeds.copy()
    seeds[parts["test"][:2]] = seeds[parts["train"][0]]
    assert failed(dataclasses.replace(dataset, patient_seeds=seeds), parts) == {
        "patients_apart"
    }


def test_room_follows_label():
    dataset = clean_dataset(4)
    rooms = dataset.background_celsius + 2 * dataset.labels
    confounded = dataclasses.replace(dataset, background_celsius=rooms)
    expected = {"shortcut_background_temperature", "shortcut_room_and_noise"}
    assert failed(confounded) == failed(confounded, quick=True) == expected


def test_camera_follows_label():
    dataset = clean_dataset(5)
    noise = np.random.default_rng(0).normal(0, 0.01, dataset.images.shape)
    noise = noise * dataset.labels[:, None, None, None]
    noisy = np.where(dataset.masks, dataset.images + noise, 0.5).astype(np.float32)
    noisy = dataclasses.replace(dataset, images=noisy)
    assert statuses(noisy)["shortcut_haar_details"] == "warn"  # might be disease


def test_healthy_twins_show_a_camera_that_a_tumour_does_not_excuse():
    dataset = clean_dataset(5, twins=True)
    ill = (dataset.labels == 1) == dataset.factual  # patients, in both twins
    noise = np.random.default_rng(0).normal(0, 0.01, dataset.images.shape)
    change = ill[:, None, None, None] * (0.1 + noise.repeat(2, axis=0)[: len(ill)])
    changed = np.where(dataset.masks, dataset.images + change, 0.5).astype(np.float32)
    assert failed(dataclasses.replace(dataset, images=changed)) == {
        "healthy_twins",
        "shortcut_haar_details",
        "shortcut_mean_temperature",
    }


def test_order_and_files_follow_label():
    dataset = clean_dataset(6)
    order = np.argsort(dataset.labels, kind="stable")
    sorted_by_label = dataclasses.replace(
        dataset.subset(order), patient_ids=np.arange(len(dataset))
    )
    assert failed(sorted_by_label) == {"shortcut_patient_number"}
    sizes = 1e6 + 1e4 * dataset.labels + np.random.default_rng(0).normal(0, 1e3, 60)
    days = np.where(
        dataset.labels == 1, np.nan, 730_000.0
    )  # known of the healthy alone
    named = {"file_size": sizes, "acquisition_day": days, "age": sizes}
    found = failed(dataclasses.replace(dataset, parameters=named))
    assert found == {"shortcut_file_size", "shortcut_acquisition_day"}


@pytest.mark.parametrize("same_label", [True, False])
def test_an_image_under_two_patients(same_label):
    dataset = clean_dataset(7)
    first = 0
    others = np.flatnonzero((dataset.labels == dataset.labels[0]) == same_label)[1:]
    dataset.images[others[0]] = dataset.images[first]
    found = {f.id: f for f in audit_dataset(dataset, [split(dataset)])}
    assert found["exact_duplicates"].status == "fail"
    assert found["exact_duplicates"].evidence["pairs_of_two_labels"] == 1 - same_label
    assert worst_status([f for f in found.values() if f.id != "exact_duplicates"]) != (
        "fail"
    )


@pytest.mark.parametrize("kind", ["noise", "gain", "mirror"])
def test_an_image_changed_a_little_under_another_patient(kind):
    dataset = clean_dataset(8, num_patients=120)
    rng = np.random.default_rng(0)
    change = {
        "noise": lambda image: image + rng.normal(0, 0.1 / 16, image.shape),
        "gain": lambda image: 0.95 * image + 0.01,
        "mirror": lambda image: image[:, ::-1],
    }[kind]
    copies = np.array([3, 30, 77])
    images = np.stack([change(image) for image in dataset.images[copies]])
    images = np.where(dataset.masks[copies], images, 0.5).astype(np.float32)
    dataset = appended(
        dataset,
        copies,
        images=images,
        patient_ids=np.array([1000, 1001, 1002]),
        example_ids=np.array(["c3", "c30", "c77"]),
    )
    found = {f.id: f for f in audit_dataset(dataset, [split(dataset)])}
    assert found["near_duplicates"].status == "fail"
    names = {
        (e["first"], e["second"]) for e in found["near_duplicates"].evidence["examples"]
    }
    originals = dataset.example_ids[copies]
    assert names == set(zip(originals, ("c3", "c30", "c77"), strict=True))


def test_images_that_are_all_one_scene_cannot_be_compared():
    rng = np.random.default_rng(1)
    dataset = clean_dataset(9)
    noise = rng.normal(0, 0.05 / 16, dataset.images.shape)
    same = np.where(dataset.masks, dataset.images[:1] + noise, 0.5).astype(np.float32)
    found = statuses(dataclasses.replace(dataset, images=same))
    assert found["near_duplicates"] == "not_run"
    assert found["exact_duplicates"] == "pass"


def test_labels_shuffled_among_twins():
    dataset = clean_dataset(10, twins=True)
    shuffled = np.random.default_rng(0).permutation(dataset.labels)
    assert "twin_labels" in failed(dataclasses.replace(dataset, labels=shuffled))
    swapped = dataset.labels.copy()
    swapped[:2] = 1 - swapped[:2]  # one pair of 60
    assert "twin_labels" in failed(
        dataclasses.replace(dataset, labels=swapped, factual=~dataset.factual)
    )


def test_one_swapped_pair_is_enough():
    dataset = clean_dataset(10, twins=True)
    labels, factual = dataset.labels.copy(), dataset.factual.copy()
    labels[:2], factual[:2] = 1 - labels[:2], ~factual[:2]
    swapped = dataclasses.replace(dataset, labels=labels, factual=factual)
    found = {f.id: f for f in audit_dataset(swapped, [split(swapped)])}
    assert found["twin_labels"].status == "fail"
    assert found["twin_labels"].evidence["healthy_twin_warmer"] == 1


def test_labels_shuffled_without_twins_are_a_warning():
    dataset = clean_dataset(11, num_patients=200, spread=0)
    assert statuses(dataset)["linear_signal"] == "pass"
    shuffled = np.random.default_rng(0).permutation(dataset.labels)
    found = statuses(dataclasses.replace(dataset, labels=shuffled))
    assert found["linear_signal"] == "warn"
    assert "fail" not in found.values()


def test_a_patient_of_two_labels_and_a_name_twice():
    dataset = repeated(clean_dataset(12), 2)
    labels, names = dataset.labels.copy(), dataset.example_ids.copy()
    labels[0] = 1 - labels[0]
    names[9] = names[4]
    found = {
        f.id: f
        for f in audit_dataset(
            dataclasses.replace(dataset, labels=labels, example_ids=names),
            [split(dataset)],
        )
    }
    assert found["label_consistency"].status == "fail"
    assert found["label_consistency"].evidence["patients_of_two_labels"] == [0]
    assert found["label_consistency"].evidence["repeated_names"] == [names[4]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.5])
def test_values_that_no_camera_gives(value):
    dataset = clean_dataset(13, twins=True)
    dataset.images[5, 10, 10] = value
    assert failed(dataset) == {"pixel_values"}
    assert failed(dataset, quick=True) == {"pixel_values"}


def test_constant_images_and_images_without_body():
    dataset = clean_dataset(14)
    dataset.images[5] = 0.4
    dataset.masks[6] = False
    found = {f.id: f for f in audit_dataset(dataset, [split(dataset)])}
    assert found["pixel_values"].status == "fail"
    counts = found["pixel_values"].evidence["of one value in the whole body"]
    assert counts["images"] == 2


def test_clipping_of_one_class():
    dataset = clean_dataset(15)
    hot = dataset.images[dataset.labels == 1]
    dataset.images[dataset.labels == 1] = np.clip(hot + 0.4, 0, 1)
    assert "clipping" in failed(dataset, quick=True)
    dataset = clean_dataset(15)
    dataset.images[:] = np.clip(dataset.images + 0.4, 0, 1)
    assert statuses(dataset, quick=True)["clipping"] == "warn"


def test_a_part_without_a_class():
    dataset = clean_dataset(16)
    parts = split(dataset)
    test = parts["test"]
    parts["test"] = test[dataset.labels[test] == 0]
    assert failed(dataset, parts) == {"class_balance"}


def test_classes_in_unlike_shares_and_a_rare_class():
    dataset = clean_dataset(17, num_patients=200)
    by_label = np.argsort(dataset.labels, kind="stable")
    parts = {"train": by_label[:110], "test": by_label[90:]}
    parts["train"] = np.setdiff1d(parts["train"], parts["test"])
    parts["train"] = np.append(parts["train"], by_label[-5:])
    parts["test"] = np.setdiff1d(parts["test"], parts["train"])
    assert statuses(dataset, parts, quick=True)["class_balance"] == "warn"
    kept = np.append(np.flatnonzero(dataset.labels == 0), by_label[-16:])
    assert statuses(dataset.subset(kept), quick=True)["class_balance"] == "warn"


def test_one_class_only():
    dataset = clean_dataset(18)
    healthy = dataset.subset(dataset.labels == 0)
    rows = {"train": np.arange(20), "test": np.arange(20, 30)}
    assert failed(healthy, rows) == {"class_balance"}


def test_few_patients_are_not_judged():
    found = statuses(clean_dataset(19, num_patients=8))
    assert found["shortcut_patient_number"] == found["linear_signal"] == "not_run"
    assert found["near_duplicates"] == "not_run"

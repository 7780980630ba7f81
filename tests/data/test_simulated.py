import itertools
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from wbad_jax import bioheat, data
from wbad_jax.data import SimulatedThermogramsConfig

TINY = "simulated_thermograms/tiny"
CONFIGS = {config.name: config for config in data.SimulatedThermograms.BUILDER_CONFIGS}
FIRST = CONFIGS["tiny"].first_seed
PATIENTS = CONFIGS["tiny"].num_patients


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return data.load(TINY, tmp_path_factory.mktemp("tfds"))


def pairs(values):
    """From rows to `[patients, states, ...]`."""
    return values.reshape(-1, 2, *values.shape[1:])


def test_tiny_has_both_states_of_each_patient(tiny):
    assert tiny.images.shape == tiny.masks.shape == (2 * PATIENTS, 32, 32, 1)
    assert tiny.name == TINY
    assert tiny.version == "2.0.0"
    np.testing.assert_array_equal(tiny.patient_ids, np.repeat(np.arange(PATIENTS), 2))
    np.testing.assert_array_equal(tiny.labels, np.tile([0, 1], PATIENTS))
    assert tiny.example_ids[24] == "p00012-healthy"
    assert tiny.example_ids[25] == "p00012-tumour"
    assert not tiny.frames.any()
    dtypes = {
        "images": np.float32,
        "masks": bool,
        "labels": np.int32,
        "patient_ids": np.int64,
        "factual": bool,
        "background_celsius": np.float32,
        "noise_celsius": np.float32,
        "frames": np.int32,
    }
    assert {name: getattr(tiny, name).dtype for name in dtypes} == dtypes


def test_images_are_windowed_and_masked(tiny):
    assert tiny.images.min() >= 0
    assert tiny.images.max() <= 1
    np.testing.assert_allclose(tiny.images[~tiny.masks], 0.5, atol=1e-4)
    assert 28 < tiny.images[tiny.masks].mean() * 16 + 22 < 34
    assert (tiny.background_celsius < 28).all()


def test_twins_differ_inside_the_mask_only(tiny):
    images, masks = pairs(tiny.images), pairs(tiny.masks)
    difference = images[:, 1] - images[:, 0]
    np.testing.assert_array_equal(masks[:, 0], masks[:, 1])
    assert not difference[~masks[:, 0]].any()
    assert (difference.max(axis=(1, 2, 3)) * 16 > 0.3).all()
    # Far from the tumour the two are the same, but for the rounding of the camera.
    assert np.median(np.abs(difference[masks[:, 0]])) * 16 < 0.02


def test_one_state_of_each_patient_is_factual(tiny):
    factual = pairs(tiny.factual)
    np.testing.assert_array_equal(factual.sum(axis=1), 1)
    ill = factual[:, 1]
    assert 0.25 < ill.mean() < 0.75
    settings = CONFIGS["tiny"].cohort
    for patient in bioheat.simulate(range(FIRST, FIRST + 3), settings):
        assert ill[patient.seed - FIRST] == patient.has_tumour


def test_parameters_are_those_of_the_patient_in_both_states(tiny):
    assert set(tiny.parameters) == set(bioheat.PARAMETER_NAMES)
    for name, values in tiny.parameters.items():
        assert values.shape == (2 * PATIENTS,), name
        assert values.dtype == np.float32
        assert np.isfinite(values).all(), name
        np.testing.assert_array_equal(values[::2], values[1::2], err_msg=name)
    (patient,) = bioheat.simulate([FIRST + 7], CONFIGS["tiny"].cohort)
    for name, value in patient.parameters.items():
        assert tiny.parameters[name][14] == np.float32(value), name
    diameter = tiny.parameters["tumour_diameter"]
    low, high = CONFIGS["tiny"].cohort.tumours.diameter_mm
    assert low <= diameter.min() < diameter.max() <= high


def test_subset_keeps_order_and_everything_else(tiny):
    part = tiny.subset(np.array([5, 2]))
    assert part.example_ids.tolist() == [tiny.example_ids[5], tiny.example_ids[2]]
    assert len(part) == 2
    assert part.window == tiny.window
    assert part.parameters["room_celsius"].tolist() == [
        tiny.parameters["room_celsius"][row] for row in (5, 2)
    ]
    assert len(tiny.subset(tiny.factual)) == PATIENTS


def test_scalars_do_not_tell_the_label(tmp_path):
    """What predicts the label of real data must not do so here."""
    settings = {"num_patients": 240, "first_seed": FIRST + 1000}
    dataset = data.load(TINY, tmp_path, settings=settings, twins=False)
    assert len(dataset) == 240
    assert dataset.factual.all()
    for name, feature in data.BASELINE_FEATURES.items():
        area = metrics.roc_auc_score(dataset.labels, feature(dataset))
        # The standard deviation for 120 against 120 is 0.037.
        assert 0.38 < area < 0.62, name


def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys; from wbad_jax import data;"
        f"data.load({TINY!r}, {str(tmp_path)!r}, settings={{'num_patients': 2}});"
        "assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    # One bar, ours: those of TFDS are off.
    assert "Simulating" in result.stderr
    assert "Generating" not in result.stderr
    assert "custom data configuration" not in result.stderr


def load(folder, config="tiny", twins=True, workers=2, **settings):
    name = f"simulated_thermograms/{config}"
    return data.load(name, folder, settings=settings, twins=twins, workers=workers)


def test_reading_again_simulates_nothing(simulated_seeds, tmp_path, capsys):
    first = load(tmp_path, num_patients=4)
    assert "Preparing" in capsys.readouterr().out
    again = load(tmp_path, num_patients=4)
    assert "Preparing" not in capsys.readouterr().out
    assert simulated_seeds == list(range(FIRST, FIRST + 4))
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.example_ids, first.example_ids)


def test_without_twins_the_factual_state_is_left(simulated_seeds, tmp_path):
    both = load(tmp_path, num_patients=20)
    one = load(tmp_path, num_patients=20, twins=False)
    expected = both.subset(both.factual)
    assert len(one) == 20
    assert set(one.labels) == {0, 1}
    for name in ("images", "masks", "labels", "patient_ids", "example_ids", "factual"):
        np.testing.assert_array_equal(getattr(one, name), getattr(expected, name))
    np.testing.assert_array_equal(
        one.parameters["room_celsius"], expected.parameters["room_celsius"]
    )


def test_frames_of_a_series_stay_together(simulated_seeds, tmp_path):
    shape = {"shape": (16, 20), "spacing_mm": 3.0}
    dataset = load(tmp_path, "dynamic", num_patients=5, **shape)
    assert dataset.images.shape == (5 * 3 * 2, 16, 20, 1)
    np.testing.assert_array_equal(dataset.patient_ids, np.repeat(np.arange(5), 6))
    np.testing.assert_array_equal(dataset.frames, np.tile([0, 0, 1, 1, 2, 2], 5))
    np.testing.assert_array_equal(dataset.labels, np.tile([0, 1], 15))
    assert dataset.example_ids[6 + 4] == "p00001-f02-healthy"
    factual = dataset.factual.reshape(5, 3, 2)
    np.testing.assert_array_equal(factual, factual[:, :1].repeat(3, axis=1))
    np.testing.assert_array_equal(factual.sum(axis=2), 1)
    # Frames are pictures of their own; twins of one frame differ by the tumour.
    images = dataset.images.reshape(5, 3, 2, 16, 20)
    assert np.abs(images[:, 1] - images[:, 0]).max() > 0.05
    warmer = (images[:, :, 1] - images[:, :, 0]) * 16
    np.testing.assert_allclose(warmer[:, :, 6:10, 6:10], 2.0, atol=1e-3)


def test_settings_make_another_cohort(simulated_seeds, tmp_path):
    plain = load(tmp_path)
    few = load(tmp_path, num_patients=6)
    later = load(tmp_path, num_patients=6, first_seed=FIRST + 3)
    small = load(tmp_path, num_patients=6, shape=(16, 16))
    names = {dataset.name for dataset in (plain, few, later, small)}
    assert len(names) == 4
    assert all(name.startswith(TINY) for name in names)
    np.testing.assert_array_equal(few.images, plain.images[:12])
    np.testing.assert_array_equal(later.images[:6], plain.images[6:12])
    assert later.patient_ids.tolist() == few.patient_ids.tolist()
    assert small.images.shape == (12, 16, 16, 1)


def test_workers_find_the_same_cohort(simulated_seeds, tmp_path):
    few = load(tmp_path, num_patients=4)
    assert load(tmp_path, num_patients=4, workers=7).name == few.name
    load(tmp_path, workers=3)
    assert load(tmp_path).name == TINY
    assert len(simulated_seeds) == 4 + PATIENTS
    with pytest.raises(data.DataError, match="workers must be >= 1, got 0"):
        load(tmp_path, workers=0)


def test_workers_reach_the_simulator(simulated_seeds, monkeypatch, tmp_path):
    simulate = bioheat.simulate
    seen = []

    def spy(seeds, settings, *, workers):
        seen.append(workers)
        return simulate(seeds, settings, workers=workers)

    monkeypatch.setattr(bioheat, "simulate", spy)
    load(tmp_path, num_patients=2, workers=7)
    load(tmp_path, num_patients=3)
    assert seen == [7, 2]


def test_same_bytes_on_a_second_generation(simulated_seeds, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        load(folder, num_patients=60)
    assert len(simulated_seeds) == 120
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*array_record*")
        }
        for folder in folders
    ]
    assert len(files[0]) >= 1
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cifar10", {}, "'cifar10'. Known: simulated_thermograms, dmr_ir"),
        ("simulated_thermograms/huge", {}, "'huge'.* Known: paper, .*quickstart, tiny"),
        (TINY, {"hight": 3}, "tiny: unknown setting 'hight'.*num_patients.*shape"),
        (TINY, {"cohort": None}, "unknown setting 'cohort'"),
        (TINY, {"shape": (8, 32)}, r"tiny: .*16 x 16 pixels, got \(8, 32\)"),
        (TINY, {"shape": 32}, "tiny: .*int"),
        (TINY, {"spacing_mm": -1.0}, "spacing_mm must be > 0, got -1.0"),
        (TINY, {"spacing_mm": 40.0}, "40 mm needs tumours of at least 60 mm"),
        (TINY, {"protocol": "hot"}, "protocol must be one of .*'hot'"),
        (TINY, {"field_celsius": -0.1}, "field_celsius must be >= 0, got -0.1"),
        (TINY, {"window": (38.0, 22.0)}, "window needs low < high, got 38.0 .. 22.0"),
        (TINY, {"num_patients": 0}, r"num_patients must be in 1..1000000.*got 0"),
        (TINY, {"num_patients": 1_000_001}, "num_patients must be .*got 1000001"),
        (TINY, {"first_seed": -5}, "first_seed must be >= 0, got -5"),
        (TINY, {"first_seed": 8_999_990}, "first_seed 8999990 .*48 cross a multiple"),
        ("dmr_ir", {"num_patients": 3}, "dmr_ir: unknown setting 'num_patients'"),
    ],
)
def test_mistakes_are_named(simulated_seeds, tmp_path, name, settings, message):
    with pytest.raises(data.DataError, match=message):
        data.load(name, tmp_path, settings=settings)
    assert not simulated_seeds
    assert not list(tmp_path.iterdir())


def test_a_cohort_may_fill_its_seeds_but_no_more():
    config = SimulatedThermogramsConfig(
        name="all", num_patients=1_000_000, first_seed=3_000_000
    )
    assert config.seeds == range(3_000_000, 4_000_000)
    with pytest.raises(data.DataError, match="first_seed 3000001 and num_patients"):
        SimulatedThermogramsConfig(
            name="more", num_patients=1_000_000, first_seed=3_000_001
        )


def test_no_two_cohorts_share_a_patient():
    data.check_disjoint(data.SimulatedThermograms.BUILDER_CONFIGS)
    for one, other in itertools.combinations(CONFIGS.values(), 2):
        assert not set(one.seeds) & set(other.seeds), (one.name, other.name)


@pytest.mark.parametrize(
    ("first_seed", "num_patients", "shared"),
    [(2_000_000, 3, 2_000_000), (2_001_836, 1, 2_001_836), (2_000_100, 50, 2_000_100)],
)
def test_cohorts_that_share_a_patient_are_refused(first_seed, num_patients, shared):
    other = SimulatedThermogramsConfig(
        name="other", num_patients=num_patients, first_seed=first_seed
    )
    paper, test = CONFIGS["paper"], CONFIGS["test"]
    for configs in ([paper, test, other], [other, paper]):
        with pytest.raises(data.DataError, match=f"paper.* seed {shared}") as caught:
            data.check_disjoint(configs)
        assert "other" in str(caught.value)
    beside = SimulatedThermogramsConfig(
        name="beside", num_patients=5, first_seed=2_001_837
    )
    data.check_disjoint([paper, test, beside])

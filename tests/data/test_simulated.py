"""From simulated patients to a data set in memory, mostly with fake patients."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from tests.data import fake_patients
from wbad_jax import bioheat, data
from wbad_jax.data import simulated

CONFIGS = {config.name: config for config in data.SimulatedThermograms.BUILDER_CONFIGS}


@pytest.fixture(scope="module")
def tiny(fake_cohort):
    return fake_cohort("tiny")


@pytest.fixture(scope="module")
def dynamic(fake_cohort):
    return fake_cohort("dynamic", num_patients=7, shape=(16, 16), spacing_mm=6.0)


def test_two_twins_a_patient(tiny):
    assert tiny.images.shape == (96, 32, 32, 1)
    assert tiny.images.dtype == np.float32
    assert tiny.labels.dtype == np.int32
    assert tiny.name == "simulated_thermograms/tiny"
    assert tiny.version == "2.0.0"
    assert tiny.window == (22.0, 38.0)
    np.testing.assert_array_equal(tiny.patient_ids, np.repeat(np.arange(48), 2))
    np.testing.assert_array_equal(tiny.labels, np.tile([0, 1], 48))
    assert tiny.example_ids[25] == "p00012-tumour"
    assert not tiny.frames.any()
    assert not tiny.seconds.any()
    np.testing.assert_array_equal(tiny.factual.reshape(48, 2).sum(axis=1), 1)


def test_images_are_those_of_the_patient(tiny):
    """Windowed, masked and quantised, of the right patient and state."""
    config = CONFIGS["tiny"]
    for row in (0, 25, 60):
        seed = int(tiny.patient_seeds[row])
        assert seed == config.first_seed + tiny.patient_ids[row]
        patient = fake_patients.simulate_patient(seed, config.cohort)
        celsius = (patient.healthy_celsius, patient.tumour_celsius)[tiny.labels[row]]
        assert tiny.factual[row] == (tiny.labels[row] == patient.has_tumour)
        np.testing.assert_array_equal(tiny.masks[row, ..., 0], patient.mask)
        image = tiny.images[row, ..., 0]
        np.testing.assert_allclose(image[~patient.mask], 0.5, atol=1e-4)
        inside = image[patient.mask] * 16 + 22
        np.testing.assert_allclose(inside, celsius[0][patient.mask], atol=2e-4)
        for name, value in patient.parameters.items():
            assert tiny.parameters[name][row] == np.float32(value)


@pytest.mark.parametrize("has_tumour", [False, True])
def test_scalars_are_those_of_the_factual_exposure(tiny, has_tumour):
    states = tiny.labels[tiny.factual].repeat(2)
    row = int(np.flatnonzero(~tiny.factual & (states == has_tumour))[0])
    patient = fake_patients.simulate_patient(
        int(tiny.patient_seeds[row]), CONFIGS["tiny"].cohort
    )
    twins = patient.healthy_celsius, patient.tumour_celsius
    own, other = (
        data.examples.measure_scalars(twins[state][0], patient.mask)
        for state in (has_tumour, not has_tumour)
    )
    assert own["noise_celsius"] != other["noise_celsius"]
    assert tiny.noise_celsius[row] == own["noise_celsius"]
    assert tiny.background_celsius[row] == own["background_celsius"]


def test_frames_of_a_series(dynamic):
    """By patient, then frame, then label; every image has its own time."""
    assert len(dynamic) == 7 * 20 * 2
    np.testing.assert_array_equal(dynamic.patient_ids, np.repeat(np.arange(7), 40))
    np.testing.assert_array_equal(dynamic.frames, np.tile(np.repeat(range(20), 2), 7))
    np.testing.assert_array_equal(dynamic.labels, np.tile([0, 1], 140))
    np.testing.assert_allclose(dynamic.seconds, dynamic.frames * 15.0)
    assert dynamic.example_ids[40 + 2 * 7 + 1] == "p00001-f07-tumour"
    assert len(set(dynamic.example_ids)) == 280
    spot = dynamic.images[1::2] - dynamic.images[::2]
    largest = spot.reshape(7, 20, -1).max(axis=2)
    assert (np.diff(largest, axis=1) > 0).all()


def test_factual_only(tiny, fake_cohort):
    factual = fake_cohort("tiny", twins=False)
    expected = tiny.subset(tiny.factual)
    assert len(factual) == 48
    np.testing.assert_array_equal(factual.images, expected.images)
    np.testing.assert_array_equal(factual.labels, expected.labels)
    np.testing.assert_array_equal(factual.example_ids, expected.example_ids)


def test_some_positions_only(tiny, fake_data_dir, fake):
    builder = data.prepare("simulated_thermograms/tiny", fake_data_dir)
    index = data.read_index(builder)
    assert sorted(index["patient_id"].tolist()) == list(range(48))
    positions = np.flatnonzero(index["patient_id"] % 10 == 3).tolist()
    some = data.read_examples(builder, positions=positions)
    assert some.patient_ids.tolist() == [3, 3, 13, 13, 23, 23, 33, 33, 43, 43]
    labels = some.labels[some.factual].tolist()
    assert labels == tiny.labels[tiny.factual][3::10].tolist()
    order = np.argsort(index["patient_id"][positions])
    assert labels == index["label"][positions][order].tolist()


def test_reading_again_gives_the_same(tiny, fake_data_dir, fake, capsys):
    again = data.load("simulated_thermograms/tiny", fake_data_dir)
    assert "Preparing" not in capsys.readouterr().out
    assert not fake
    np.testing.assert_array_equal(again.images, tiny.images)
    np.testing.assert_array_equal(again.example_ids, tiny.example_ids)


def test_subset_keeps_order_and_everything_else(tiny):
    part = tiny.subset(np.array([5, 2]))
    assert part.example_ids.tolist() == [tiny.example_ids[5], tiny.example_ids[2]]
    assert len(part) == 2
    assert part.window == tiny.window
    assert part.parameters.keys() == tiny.parameters.keys()
    for name, values in part.parameters.items():
        np.testing.assert_array_equal(values, tiny.parameters[name][[5, 2]])
    assert len(tiny.subset(tiny.factual)) == 48


def test_settings_make_another_cohort(tiny, fake_cohort):
    other = fake_cohort("tiny", num_patients=6, first_seed=99, field_celsius=0.1)
    assert len(other) == 12
    assert other.name.startswith("simulated_thermograms/tiny-")
    assert other.patient_seeds[0] == 99
    assert np.abs(other.images - tiny.images[:12]).max() > 0.05


def test_settings_that_change_nothing_name_the_same_cohort(tiny, fake_cohort):
    assert fake_cohort("tiny", num_patients=48, shape=[32, 32]).name == tiny.name


def find(name="tiny", **settings):
    return data.find_builder(f"simulated_thermograms/{name}", settings)[1]


def test_settings_reach_into_settings():
    config = find(tumours={"prior": "weak"}, cold_stress={"num_frames": 5})
    assert config.cohort.tumours.prior == "weak"
    assert (
        config.cohort.tumours.diameter_mm == CONFIGS["tiny"].cohort.tumours.diameter_mm
    )
    assert config.cohort.cold_stress.num_frames == 5
    assert config.cohort.cold_stress.frame_seconds == 15.0
    assert config.name != find(tumours={"prior": "mixture"}).name
    whole = bioheat.Camera(noise_celsius=0.2)
    assert find(camera=whole).cohort.camera == whole
    assert find(camera=whole).name != find().name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hight": 3}, "'hight'. Known: .*num_patients.*shape"),
        ({"name": "x"}, "'name'"),
        ({"version": "1.0.0"}, "'version'"),
        ({"tumours": {"priro": "weak"}}, "'tumours.priro'. Known: prior"),
        ({"tumours": {"prior": "huge"}}, "prior must be one of .*'huge'"),
        ({"shape": (4, 4)}, r"at least 16 x 16 pixels, got \(4, 4\)"),
        ({"num_patients": 0}, "num_patients must be .* at least 1, got 0"),
        ({"num_patients": "9"}, "num_patients must be a whole number .*'9'"),
        ({"num_patients": 1_000_001}, "num_patients must be at most 1000000"),
        ({"first_seed": 999_960}, "num_patients must be at most 40, .* got 48"),
        ({"first_seed": -5}, "first_seed must be .* at least 0, got -5"),
        ({"window": (30.0, 20.0)}, "window needs low < high, got 30.0 .. 20.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(data.DataError, match=message):
        data.find_builder("simulated_thermograms/tiny", settings)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", "'cifar10'. Known: simulated_thermograms, dmr_ir"),
        ("simulated_thermograms/huge", "Known: paper, .*tiny"),
    ],
)
def test_unknown_names_list_the_known(tmp_path, name, message):
    with pytest.raises(data.DataError, match=message):
        data.load(name, tmp_path)


def test_default_is_the_paper():
    config = data.find_builder("simulated_thermograms", {})[1]
    assert (config.name, config.num_patients) == ("paper", 1837)
    assert (config.cohort.shape, config.cohort.spacing_mm) == ((128, 128), 3.0)


def test_sizes_of_the_cohorts():
    sizes = {name: config.num_patients for name, config in CONFIGS.items()}
    assert sizes == {
        "paper": 1837,
        "paper_mixture": 1837,
        "paper_weak": 1837,
        "dynamic": 92,
        "large": 20_000,
        "test": 5000,
        "quickstart": 1200,
        "tiny": 48,
    }
    assert CONFIGS["dynamic"].cohort.protocol == "dynamic"
    assert CONFIGS["paper_weak"].cohort.tumours.prior == "weak"
    assert CONFIGS["paper_mixture"].cohort.tumours.prior == "mixture"


def test_cohorts_share_no_patient():
    """Not even if each grew to all the seeds that it may have."""
    data.check_disjoint(*CONFIGS.values())
    blocks = {c.first_seed // simulated.SEEDS_PER_COHORT for c in CONFIGS.values()}
    assert len(blocks) == len(CONFIGS)


def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys; from wbad_jax import bioheat, data;"
        "from tests.data import fake_patients;"
        "bioheat.simulate = fake_patients.simulate;"
        f"data.load('simulated_thermograms/tiny', {str(tmp_path)!r},"
        "settings={'num_patients': 2});"
        "assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_real_patients(tmp_path):
    """The physics itself, on its coarsest grid."""
    tiny = data.load("simulated_thermograms/tiny", tmp_path)
    assert tiny.images.shape == (96, 32, 32, 1)
    assert set(tiny.parameters) == set(bioheat.PARAMETER_NAMES)
    assert tiny.images[tiny.masks].mean() * 16 + 22 == pytest.approx(30.5, abs=1.0)
    twins = tiny.images.reshape(48, 2, 32, 32)
    difference = (twins[:, 1] - twins[:, 0]) * 16
    low, high = CONFIGS["tiny"].cohort.tumours.contrast_celsius
    largest = difference.max(axis=(1, 2))
    assert (largest > low / 2).all()
    assert (largest < high + 0.2).all()
    # Nearly all of the body is untouched by the tumour, up to the camera's steps.
    assert np.median(np.abs(difference)) < 0.02
    assert 10 < tiny.labels[tiny.factual].sum() < 38
    factual = tiny.subset(tiny.factual)
    for feature, values in data.BASELINE_FEATURES.items():
        area = metrics.roc_auc_score(factual.labels, values(factual))
        # The standard deviation for 24 against 24 is 0.084.
        assert 0.2 < area < 0.8, feature

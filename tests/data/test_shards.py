import numpy as np
import pytest

from wbad_jax import bioheat, data
from wbad_jax.data import examples, shards

WINDOW = (22.0, 38.0)
SEEDS = range(1_000_000, 1_000_012)
SETTINGS = bioheat.CohortSettings(shape=(16, 20))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Of 5 patients: the 12 of these tests make two full shards and one of two."""
    monkeypatch.setattr(shards, "PATIENTS_PER_SHARD", 5)


def run(folder, seeds=SEEDS, settings=SETTINGS):
    return list(
        shards.simulated_shards(folder, seeds=seeds, settings=settings, window=WINDOW)
    )


def assert_same(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        for name, values in left.items():
            np.testing.assert_array_equal(values, right[name], err_msg=name)
            assert values.dtype == right[name].dtype, name


def interrupt_at(monkeypatch, seed):
    """Makes the simulator fail at one patient, as Ctrl-C would."""
    simulate = bioheat.simulate

    def interrupted(seeds, settings, *, workers):
        for patient in simulate(seeds, settings, workers=workers):
            if patient.seed == seed:
                raise KeyboardInterrupt
            yield patient

    monkeypatch.setattr(bioheat, "simulate", interrupted)


def test_a_shard_holds_what_was_simulated(simulated_seeds, tmp_path):
    parts = run(tmp_path)
    assert [len(part["seeds"]) for part in parts] == [5, 5, 2]
    seeds = np.concatenate([part["seeds"] for part in parts])
    np.testing.assert_array_equal(seeds, np.array(SEEDS))
    assert simulated_seeds == list(SEEDS)
    patients = list(bioheat.simulate(SEEDS, SETTINGS, workers=1))
    patient, part = patients[6], parts[1]
    assert part["has_tumour"][1] == patient.has_tumour
    np.testing.assert_array_equal(part["masks"][1], patient.mask)
    for state in examples.LABEL_NAMES:
        celsius = getattr(patient, f"{state}_celsius")
        image = examples.image_features(celsius[0], patient.mask, WINDOW)["image"]
        np.testing.assert_array_equal(part[state][1, 0], image[..., 0])
        assert part[state].dtype == np.uint16
    factual = patient.tumour_celsius if patient.has_tumour else patient.healthy_celsius
    scalars = examples.measure_scalars(factual[0], patient.mask)
    assert part["background"][1, 0] == scalars["background_celsius"]
    assert part["noise"][1, 0] == scalars["noise_celsius"]
    assert part["parameters"][1].tolist() == list(patient.parameters.values())


def test_parameters_are_in_the_order_of_their_names(monkeypatch, simulated_seeds):
    simulate = bioheat.simulate

    def shuffled(seeds, settings, *, workers):
        for patient in simulate(seeds, settings, workers=workers):
            names = reversed(patient.parameters)
            yield patient._replace(
                parameters={name: patient.parameters[name] for name in names}
            )

    monkeypatch.setattr(bioheat, "simulate", shuffled)
    with shards.tqdm(disable=True) as bar:
        patients = bioheat.simulate([3], SETTINGS, workers=1)
        shard = shards._pack(patients, SETTINGS, WINDOW, bar)
    expected = 1000.0 * np.arange(len(bioheat.PARAMETER_NAMES)) + 3
    np.testing.assert_array_equal(shard["parameters"][0], expected)


def test_resumes_behind_the_last_whole_shard(
    simulated_seeds, monkeypatch, tmp_path, capsys
):
    expected = run(tmp_path / "undisturbed")
    folder = tmp_path / "disturbed"
    with monkeypatch.context() as patch:
        interrupt_at(patch, SEEDS[8])
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert [path.name for path in folder.iterdir()] == ["shard-00000.npz"]
    simulated_seeds.clear()
    capsys.readouterr()
    assert_same(run(folder), expected)
    assert simulated_seeds == list(SEEDS[5:])
    assert f"Resuming: 5 of 12 patients are in {folder}" in capsys.readouterr().out
    simulated_seeds.clear()
    assert_same(run(folder), expected)
    assert not simulated_seeds


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def empty(path):
    path.write_bytes(b"")


def flip_bits(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def change(**changes):
    def apply(path):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        np.savez(path, **{**arrays, **changes})

    return apply


def drop_parameters(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    del arrays["parameters"]
    np.savez(path, **arrays)


def pickle_seeds(path):
    change(seeds=np.array([{"not": "numbers"}] * 5))(path)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip_bits,
        change(seeds=np.arange(5)),
        change(parameters=np.zeros((5, 3))),
        change(healthy=np.zeros((5, 1, 8, 8), np.uint16)),
        drop_parameters,
        pickle_seeds,
    ],
    ids=lambda damage: damage.__qualname__,
)
def test_a_damaged_shard_is_simulated_anew(damage, simulated_seeds, tmp_path, capsys):
    expected = run(tmp_path)
    simulated_seeds.clear()
    path = tmp_path / "shard-00001.npz"
    damage(path)
    capsys.readouterr()
    assert_same(run(tmp_path), expected)
    assert simulated_seeds == list(SEEDS[5:10])
    assert f"{path} is damaged: simulating" in capsys.readouterr().out
    simulated_seeds.clear()
    assert_same(run(tmp_path), expected)
    assert not simulated_seeds


def test_a_shard_holds_no_pickle(simulated_seeds, tmp_path):
    run(tmp_path)
    for path in tmp_path.iterdir():
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].dtype != object for name in file.files)


def test_a_folder_that_cannot_be_written_is_named(simulated_seeds, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(data.DataError, match="file/cohort/shard-00000.npz: the shard"):
        run(file / "cohort")
    with pytest.raises(data.DataError, match="file/.*tiny.*cannot be prepared"):
        data.load("simulated_thermograms/tiny", file)


def load(folder, workers=2, **settings):
    name = "simulated_thermograms/tiny"
    settings = {"num_patients": 12, **settings}
    return data.load(name, folder, settings=settings, workers=workers)


def test_an_interrupted_preparation_resumes(simulated_seeds, monkeypatch, tmp_path):
    expected = load(tmp_path / "undisturbed")
    folder = tmp_path / "disturbed"
    first = simulated_seeds[0]
    with monkeypatch.context() as patch:
        interrupt_at(patch, first + 11)
        with pytest.raises(KeyboardInterrupt):
            load(folder)
    assert len(list(folder.rglob("shard-*.npz"))) == 2
    assert not list(folder.rglob("*array_record*"))
    simulated_seeds.clear()
    # Another number of workers goes on with the same shards.
    resumed = load(folder, workers=5)
    assert simulated_seeds == [first + 10, first + 11]
    np.testing.assert_array_equal(resumed.images, expected.images)
    np.testing.assert_array_equal(resumed.labels, expected.labels)


def test_nothing_is_left_of_the_shards_of_a_prepared_cohort(simulated_seeds, tmp_path):
    load(tmp_path)
    assert not list(tmp_path.rglob("shard-*"))
    assert list(tmp_path.rglob("*array_record*"))


def test_cohorts_do_not_take_each_others_shards(simulated_seeds, monkeypatch, tmp_path):
    first = 8_000_000
    with monkeypatch.context() as patch:
        interrupt_at(patch, first + 6)
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path)
    simulated_seeds.clear()
    # Other pixels, from the same seeds.
    load(tmp_path, window=(20.0, 40.0))
    load(tmp_path, field_celsius=0.0)
    assert simulated_seeds == 2 * list(range(first, first + 12))
    assert len(list(tmp_path.rglob("shard-*.npz"))) == 1


def test_shards_of_one_name_belong_to_all_that_made_them(tmp_path):
    """A config that was changed in the source keeps its name."""
    changes = [
        {},
        {"first_seed": 6},
        {"window": (20.0, 40.0)},
        {"cohort": bioheat.CohortSettings(field_celsius=0.1)},
    ]
    folders = set()
    for change in changes:
        values = {"num_patients": 3, "first_seed": 5, **change}
        config = data.SimulatedThermogramsConfig(name="mine", **values)
        builder = data.SimulatedThermograms(data_dir=str(tmp_path), config=config)
        folders.add(builder.simulation_folder)
    assert len(folders) == len(changes)

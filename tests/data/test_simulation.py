"""Interrupted, damaged and refused simulations."""

import errno
import fcntl
import os
import signal

import numpy as np
import pytest

from tests.data import fake_patients
from wbad_jax import bioheat, data
from wbad_jax.data import shards

NAME = "simulated_thermograms/tiny"
# Three files: 50, 50 and 20 patients.
SETTINGS = {"num_patients": 120, "shape": (16, 16)}


@pytest.fixture(scope="module")
def whole(fake_cohort):
    """The cohort, made without disturbance."""
    return fake_cohort("tiny", **SETTINGS)


def load(tmp_path):
    return data.load(NAME, tmp_path, settings=SETTINGS)


def files(tmp_path):
    return sorted(path.name for path in tmp_path.glob("simulation/*/shard*"))


def path_of(tmp_path, number):
    (path,) = tmp_path.glob(f"simulation/*/shard-{number:05d}.npz")
    return path


def stop_at(monkeypatch, count, stop):
    """Lets `stop` happen before the patient of this number."""

    def simulate(seeds, settings, *, workers=2):
        for number, seed in enumerate(seeds):
            if number == count:
                stop()
            yield fake_patients.simulate_patient(seed, settings)

    monkeypatch.setattr(bioheat, "simulate", simulate)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A folder in which the second file was just written."""
    stop_at(monkeypatch, 100, interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    monkeypatch.undo()
    return tmp_path


def check_resumed(tmp_path, fake, whole, expected):
    """Only the expected patients are simulated, and all is as if never stopped."""
    dataset = load(tmp_path)
    assert [seed - int(whole.patient_seeds[0]) for seed in fake] == list(expected)
    np.testing.assert_array_equal(dataset.images, whole.images)
    np.testing.assert_array_equal(dataset.masks, whole.masks)
    np.testing.assert_array_equal(dataset.noise_celsius, whole.noise_celsius)
    np.testing.assert_array_equal(dataset.example_ids, whole.example_ids)
    assert not (tmp_path / "simulation").exists()


def test_nothing_is_left_of_a_finished_simulation(tmp_path, fake, whole):
    check_resumed(tmp_path, fake, whole, range(120))


def test_resumes_after_the_last_file(interrupted, fake, whole, capsys):
    assert files(interrupted) == ["shard-00000.npz", "shard-00001.npz"]
    check_resumed(interrupted, fake, whole, range(100, 120))
    out, err = capsys.readouterr()
    assert "100 of 120 patients are there" in out
    assert "100/120" in err
    assert "120/120" in err


@pytest.mark.parametrize("count", [1, 49, 99])
def test_one_file_is_lost_at_most(tmp_path, monkeypatch, request, whole, count):
    stop_at(monkeypatch, count, interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    monkeypatch.undo()
    fake = request.getfixturevalue("fake")
    check_resumed(tmp_path, fake, whole, range(count // 50 * 50, 120))


def test_stopped_while_the_data_set_is_written(
    tmp_path, monkeypatch, request, whole, capsys
):
    """All patients are there by then: none is simulated again."""

    def fail(*_):
        raise KeyboardInterrupt

    stop_at(monkeypatch, 1000, interrupt)
    monkeypatch.setattr(data.simulated, "_example", fail)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    monkeypatch.undo()
    assert len(files(tmp_path)) == 3
    check_resumed(tmp_path, request.getfixturevalue("fake"), whole, [])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def replace_by_text(path):
    path.write_text("no shard at all")


def swap_patients(path):
    path.write_bytes(path.with_name("shard-00000.npz").read_bytes())


def change_array(**changes):
    def damage(path):
        with np.load(path) as file:
            arrays = {**file, **changes}
        np.savez(path, **arrays)

    return damage


DAMAGES = {
    "truncated": truncate,
    "bit flipped": flip_a_bit,
    "empty": empty,
    "text": replace_by_text,
    "of other patients": swap_patients,
    "other size": change_array(healthy=np.zeros((50, 1, 8, 8, 1), np.uint16)),
    "other type": change_array(noise_celsius=np.zeros((50, 1))),
    "pickle": change_array(has_tumour=np.array([{}] * 50, object)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(interrupted, fake, whole, capsys, damage):
    path = path_of(interrupted, 1)
    DAMAGES[damage](path)
    check_resumed(interrupted, fake, whole, range(50, 120))
    out, _ = capsys.readouterr()
    assert f"{path}: " in out
    assert "simulated again" in out
    assert "50 of 120 patients are there" in out


def test_no_pickle_is_ever_read(tmp_path):
    """A file that would run code when read does not."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    path = tmp_path / "shard-00000.npz"
    np.savez(path, **dict.fromkeys(shards.Shard._fields, np.array([Bomb()], object)))
    with pytest.raises(ValueError, match="not readable: Object arrays"):
        shards.read_shard(path, range(1), (16, 16))
    assert not (tmp_path / "boom").exists()


def test_other_settings_do_not_meet(interrupted, fake):
    other = {**SETTINGS, "field_celsius": 0.5}
    data.load(NAME, interrupted, settings=other)
    assert len(fake) == 120
    assert files(interrupted) == ["shard-00000.npz", "shard-00001.npz"]


def test_series_are_kept_a_few_at_a_time(tmp_path, monkeypatch):
    stop_at(monkeypatch, 12, interrupt)
    settings = {"shape": (16, 16), "spacing_mm": 6.0}
    with pytest.raises(KeyboardInterrupt):
        data.load("simulated_thermograms/dynamic", tmp_path, settings=settings)
    assert len(files(tmp_path)) == 2


def test_a_second_process_is_refused(interrupted, fake):
    (folder,) = (interrupted / "simulation").iterdir()
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(data.DataError, match="another process is simulating"):
            load(interrupted)
    assert not fake


def test_a_full_disk_names_the_file(tmp_path, fake, monkeypatch):
    original = os.replace

    def replace(source, target):
        if "shard" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(data.DataError, match=r"shard-00000.npz: .*No space left"):
        load(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, fake):
    (tmp_path / "simulation").write_text("a file in the way")
    with pytest.raises(data.DataError, match=f"{tmp_path}/simulation"):
        load(tmp_path)
    with pytest.raises(data.DataError, match=f"{tmp_path}/simulation/x"):
        load(tmp_path / "simulation" / "x")


def test_a_patient_that_fails_is_named(tmp_path, monkeypatch, whole):
    def fail():
        raise ValueError("None of 40 tumours fits.")

    stop_at(monkeypatch, 60, fail)
    seed = int(whole.patient_seeds[0]) + 60
    with pytest.raises(data.DataError, match=f"Patient {seed} .*None of 40"):
        load(tmp_path)
    assert files(tmp_path) == ["shard-00000.npz"]


def test_sigterm_stops_where_a_signal_handler_says_so(tmp_path, monkeypatch, fake):
    """As the command does: the generator is closed, and the files stay."""
    before = signal.signal(signal.SIGTERM, lambda *_: interrupt())
    try:
        stop_at(monkeypatch, 70, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert files(tmp_path) == ["shard-00000.npz"]

"""Checkpoints give back what was saved, or say why not."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import training
from wbad_jax.damaged_files import DamagedFileError


def tree(offset=0.0):
    rng = np.random.default_rng(0)
    return {
        "float": jnp.asarray(rng.normal(size=(3, 4)) + offset, jnp.float32),
        "tiny": jnp.asarray([1e-45, -0.0, np.inf, 1 / 3], jnp.float32),
        "half": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "int": jnp.asarray([-(2**31), 2**31 - 1], jnp.int32),
        "bool": jnp.asarray([True, False]),
        "nested": (jnp.zeros(()), [jnp.arange(3)]),
    }


def bits(leaf):
    return np.asarray(leaf).tobytes()


def test_round_trip_is_exact(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        checkpoints.save(7, tree())
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 7
        abstract = jax.eval_shape(tree)
        for like in (tree(offset=1.0), abstract):
            restored = checkpoints.restore(like)
            assert jax.tree.structure(restored) == jax.tree.structure(tree())
            for got, want in zip(
                jax.tree.leaves(restored), jax.tree.leaves(tree()), strict=True
            ):
                assert got.dtype == want.dtype
                assert bits(got) == bits(want)


def test_wait_returns_when_all_is_on_disk(tmp_path):
    """Saving is asynchronous: without `wait`, the folder would come later."""
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, {"x": jnp.ones((2048, 1024))})
        checkpoints.wait()
        assert (tmp_path / "4").is_dir()


def test_an_existing_step_is_not_overwritten(tmp_path):
    with training.Checkpoints(tmp_path, max_to_keep=3) as checkpoints:
        checkpoints.save(1, tree())
        checkpoints.save(2, tree())
        for step in (1, 2):
            checkpoints.save(step, tree(offset=5.0))
            checkpoints.wait()
            restored = checkpoints.restore(tree(), step)
            assert bits(restored["float"]) == bits(tree()["float"])


def test_the_newest_steps_are_kept(tmp_path):
    with training.Checkpoints(tmp_path, max_to_keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, tree(offset=float(step)))
        checkpoints.wait()
        assert checkpoints.latest_step() == 3
        for step in (2, 3):
            restored = checkpoints.restore(tree(), step)
            assert bits(restored["float"]) == bits(tree(float(step))["float"])
        assert not (tmp_path / "1").exists()


@pytest.mark.parametrize("shape", [(3, 5), (4, 4), (12,)])
def test_restoring_another_shape_is_an_error(shape, tmp_path):
    # One array alone: Orbax leaves the reads of others behind when one fails, and
    # Python complains of them at some later time.
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.ones((3, 4))})
        checkpoints.wait()
        with pytest.raises(ValueError, match="shape"):
            checkpoints.restore({"x": jnp.zeros(shape)})


def test_no_checkpoint_is_an_error(tmp_path):
    with (
        training.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(FileNotFoundError, match=f"No checkpoint in {tmp_path}"),
    ):
        checkpoints.restore(tree())


def damage(folder, how):
    """Breaks a checkpoint as crashes and full disks do."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    assert files
    if how == "empty files":
        for file in files:
            file.write_bytes(b"")
    elif how == "halved files":
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        for file in files:
            file.unlink()


@pytest.mark.parametrize("how", ["empty files", "halved files", "no files"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(how, tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree())
        checkpoints.save(2, tree(offset=1.0))
    damage(tmp_path / "2", how)
    with training.Checkpoints(tmp_path) as checkpoints:
        with pytest.warns(UserWarning, match="2 is damaged .*step 1 is restored"):
            restored = checkpoints.restore(tree())
        assert bits(restored["float"]) == bits(tree()["float"])
        assert (tmp_path / "damaged-2").is_dir()
        # The step can be saved again.
        checkpoints.save(2, tree(offset=2.0))
    with training.Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(tree())
        assert bits(restored["float"]) == bits(tree(offset=2.0)["float"])


def test_nothing_is_set_aside_where_none_can_be_read(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree())
        checkpoints.save(2, tree())
        checkpoints.wait()
        with pytest.raises(ValueError, match="2 cannot be read"):
            checkpoints.restore({"other": jnp.zeros(3)})
    assert {"1", "2"} <= {path.name for path in tmp_path.iterdir()}


def test_arrays_that_are_not_those_saved_are_refused(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, tree(offset=float(step)))
    path = tmp_path / "sha256.json"
    digests = json.loads(path.read_text())
    assert list(digests) == ["1", "2"]
    # The same as a changed byte in an array: it is not what was saved.
    path.write_text(json.dumps(digests | {"2": digests["1"]}))
    with training.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(DamagedFileError, match="step 2 is not what was saved"):
            checkpoints.restore(tree(), 2)
        with pytest.warns(UserWarning, match="step 1 is restored in its place"):
            restored = checkpoints.restore(tree())
    np.testing.assert_array_equal(restored["float"], tree(offset=1.0)["float"])


def test_checkpoints_without_digests_are_read(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree())
    (tmp_path / "sha256.json").unlink()
    with training.Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(tree())
    np.testing.assert_array_equal(restored["float"], tree()["float"])

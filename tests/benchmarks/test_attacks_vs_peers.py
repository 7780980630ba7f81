"""The comparison of attacks: the problem, the twins, the verdicts and the counts."""

import collections
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    attack_budgets,
    attack_overhead,
    attack_problem,
    attack_speed,
    attack_strength,
    attacks_vs_peers,
)
from benchmarks.attack_problem import Problem, ProblemSettings
from wbad_jax import attacks

SETTINGS = ProblemSettings(size=32, widths=(8, 16), num_images=6, num_steps=1)
LINEAR = ProblemSettings(size=4, num_images=4)


def untrained(classifier, *unused, **options):
    return jax.jit(classifier.init)(jax.random.key(3))


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Networks with their first weights, written and read again."""
    folder = tmp_path_factory.mktemp("networks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attack_problem, "train", untrained)
        patch.setattr(attack_problem, "_TRIAL_IMAGES", 4)
        path = attack_problem.train_networks(SETTINGS, folder)
    assert attack_problem.train_networks(SETTINGS, folder) == path
    return attack_problem.load_problem(path, SETTINGS)


def test_parameters_come_back_as_they_were(problem):
    for model in attack_problem.MODELS:
        expected = untrained(SETTINGS.classifier(model))
        jax.tree.map(np.testing.assert_array_equal, problem.params[model], expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["standard", "denoised"])
def test_the_twins_in_pytorch_have_the_same_logits(problem, model):
    pytest.importorskip("ptwt")
    torch_models = pytest.importorskip("benchmarks.torch_models")
    classifier = SETTINGS.classifier(model)
    twin = torch_models.TorchClassifier(classifier, problem.params[model])
    expected = jax.jit(problem.logits_fn(model))(problem.images)
    found = twin(torch_models.as_tensor(problem.images))
    assert not any(p.requires_grad for p in twin.parameters())
    np.testing.assert_allclose(found, expected, atol=1e-4)
    images = torch_models.as_array(torch_models.as_tensor(problem.images))
    np.testing.assert_array_equal(images, problem.images)


@pytest.mark.fast
def test_images_are_in_range_and_half_of_them_have_a_spot():
    images, labels = attack_problem.draw_images(400, 16, seed=1)
    again, _ = attack_problem.draw_images(400, 16, seed=1)
    other, _ = attack_problem.draw_images(400, 16, seed=2)
    assert images.shape == (400, 16, 16, 1)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert labels.sum() == 200
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images, other)
    highest = images.max(axis=(1, 2, 3))
    assert highest[labels == 1].mean() > highest[labels == 0].mean() + 0.03


@pytest.fixture
def linear():
    """Label 1 where the mean is above 0.5; the images are 0.1 away from it."""
    labels = np.asarray([0, 1, 0, 1], np.int32)
    images = np.where(labels == 1, 0.6, 0.4).astype(np.float32)
    images = np.tile(images[:, None, None, None], (1, 4, 4, 1))

    def logits_fn(images):
        mean = jnp.mean(images, axis=(1, 2, 3)) - 0.5
        return jnp.stack([-mean, mean], axis=-1)

    return Problem(LINEAR, images, labels, {}), logits_fn


@pytest.mark.fast
def test_success_and_distance_are_judged_by_the_given_model(linear):
    problem, logits_fn = linear
    sign = np.where(problem.labels == 1, -1.0, 1.0)[:, None, None, None]
    moves = np.asarray([0.2, 0.15, 0.12, 0.05])[:, None, None, None]
    moved = (problem.images + sign * moves).astype(np.float32)
    assess = functools.partial(attack_strength.assess, logits_fn, problem, moved)
    verdict = assess("linf", 0.2)
    assert verdict["success"] == 75
    assert verdict["distance"] == pytest.approx(0.175)
    assert assess("l2", None)["distance"] == pytest.approx(4 * 0.175)
    with pytest.raises(AssertionError, match="above epsilon 0.1"):
        assess("linf", 0.1)
    moved[0] += 1
    with pytest.raises(AssertionError, match=r"outside of \[0, 1\]"):
        assess("linf", None)


def verdict(is_random, minimal, measure, **values):
    comparison = attack_budgets.Comparison("pgd", "l2", (), is_random, minimal)
    found = {library: {measure: [value]} for library, value in values.items()}
    row = {"model": "standard", "attack": "pgd l2", "libraries": found, "epsilon": None}
    return attack_strength.add_verdict(row, comparison)


@pytest.mark.fast
def test_the_best_peer_is_what_counts():
    row = verdict(False, False, "success", wbad_jax=50.0, art=20.0, foolbox=50.4)
    assert row["best_peer"] == "foolbox"
    assert row["points"] == pytest.approx(-0.4)
    assert row["holds"]
    row = verdict(False, False, "success", wbad_jax=50.0, foolbox=51.0)
    assert not row["holds"]
    assert verdict(True, False, "success", wbad_jax=50.0, foolbox=51.0)["holds"]
    row = verdict(False, True, "distance", wbad_jax=1.03, foolbox=1.0, art=2.0)
    assert row["ratio"] == pytest.approx(1.03)
    assert not row["holds"]


@pytest.mark.fast
def test_an_attack_that_does_not_exist_yet_is_noted():
    row = verdict(False, True, "distance", foolbox=1.0)
    row["libraries"]["wbad_jax"] = {"note": "no such attack"}
    assert "holds" not in row
    assert "wbad_jax: no such attack" in attack_strength.describe(row)


@pytest.mark.fast
def test_the_better_variant_of_a_peer_counts_on_each_clock():
    times = {
        "wbad_jax": {"wall_ms": 2.0, "cpu_ms": 3.0},
        "torchattacks, threads 1": {"wall_ms": 5.0, "cpu_ms": 5.0},
        "torchattacks, threads 2": {"wall_ms": 4.0, "cpu_ms": 6.0},
    }
    race = dataclasses.asdict(attack_speed.Race("pgd linf", "standard", (), 1.7))
    row = attack_speed.add_speedups({**race, "times": times})
    assert row["speedup"] == {
        "torchattacks": {"wall": 2.0, "cpu": pytest.approx(5 / 3)}
    }
    assert not row["holds"]
    assert "MISSED" in attack_speed.describe(row)


def test_passes_are_counted_inside_of_loops(linear, key):
    problem, logits_fn = linear
    counts = collections.Counter()
    counted = attack_overhead.count_passes(logits_fn, counts)
    attack = attacks.PGD(num_steps=3, restarts=2)
    call = jax.jit(lambda images: attack(counted, key, images, labels, epsilon=0.1))
    labels = jnp.asarray(problem.labels)
    jax.block_until_ready(call(problem.images))
    jax.effects_barrier()
    # The FGSM start is one more gradient; clean, final and two last points are judged.
    assert counts == {"gradients": 2 * 3 + 1, "forwards": 4}


@pytest.mark.fast
def test_attacks_are_chosen_by_name():
    names = [c.name for c in attack_budgets.choose_comparisons("pgd l2,cw")]
    assert names == ["pgd l2", "apgd l2", "cw l2"]
    assert len(attack_budgets.choose_comparisons("")) == len(attack_budgets.COMPARISONS)
    known = {c.name for c in attack_budgets.COMPARISONS}
    assert {race.attack for race in attack_speed.RACES} <= known


@pytest.mark.fast
def test_missing_libraries_are_named_with_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(attack_budgets.MODULES, "foolbox", ("no_such_module",))
    with pytest.raises(SystemExit, match=r"no_such_module.*wbad_jax\[bench\]"):
        attack_budgets.choose_libraries("foolbox")
    with pytest.raises(SystemExit, match="got 'cleverhans'"):
        attack_budgets.choose_libraries("cleverhans")
    assert attack_budgets.choose_libraries("") == ["wbad_jax"]


@pytest.mark.fast
def test_rows_of_the_same_name_are_replaced_and_others_stay(tmp_path):
    path = tmp_path / "results.json"

    def save(part, settings, attack, value):
        row = {"attack": attack, "model": "mlp", "peers": ("art",), "value": value}
        attacks_vs_peers.save(path, part, {"widths": settings}, row)
        return json.loads(path.read_text())

    save("speed", (8, 16), "pgd linf", 1)
    save("strength", (8, 16), "pgd linf", 2)
    save("speed", (8, 16), "apgd linf", 3)
    report = save("speed", (8, 16), "pgd linf", 4)
    assert list(report) == ["strength", "speed"]
    assert [row["value"] for row in report["speed"]["rows"]] == [3, 4]
    assert "jax" in report["speed"]["machine"]["versions"]
    report = save("speed", (16, 32), "apgd linf", 5)
    assert [row["value"] for row in report["speed"]["rows"]] == [5]
    assert [row["value"] for row in report["strength"]["rows"]] == [2]


@pytest.mark.fast
def test_without_optimisation_no_attack_is_timed(capsys):
    assert attacks_vs_peers.main(["--libraries="]) == 2  # as all tests run
    assert "optimisation is off" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="--part must be of"):
        attacks_vs_peers.main(["--part=everything"])

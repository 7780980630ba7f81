"""Sweeps expand to runs, and impossible ones are refused before any work."""

import importlib
import pathlib

import pytest

from configs import default
from configs.sweeps import thresholds
from experiments import sweep
from experiments.config_errors import ConfigError

pytestmark = pytest.mark.fast
FOLDER = pathlib.Path(thresholds.__file__).parent
SWEEPS = sorted({path.stem for path in FOLDER.glob("*.py")} - {"__init__"})
RUNS = {"deep": {"denoiser.level": 2}, "flat": {"denoiser.level": 1}}


def levels(runs=RUNS, seeds=(0, 1), **more):
    base = default.get_config("smoke")
    return default.make_sweep("levels", base, runs, seeds=seeds, **more)


def test_runs_are_the_base_with_their_own_fields():
    variants = sweep.expand(levels())
    paths = ["deep/seed0", "deep/seed1", "flat/seed0", "flat/seed1"]
    assert [str(variant.path) for variant in variants] == paths
    assert [variant.config.denoiser.level for variant in variants] == [2, 2, 1, 1]
    assert [variant.config.seed for variant in variants] == [0, 1, 0, 1]
    assert levels().base.denoiser.level == default.get_config().denoiser.level


def test_any_field_can_change_and_none_leaks_into_another_run():
    runs = {
        "trades": {"arm.wbad.objective": "trades", "training.mix.pgd": 3.0},
        "hot": {"attack.epsilon_celsius": 0.5, "model.widths": (4, 8, 8)},
        "base": {},
    }
    trades, hot, base = (v.config for v in sweep.expand(levels(runs, seeds=(0,))))
    assert (trades.arm.wbad.objective, trades.training.mix.pgd) == ("trades", 3.0)
    assert (hot.attack.epsilon_celsius, hot.model.widths) == (0.5, (4, 8, 8))
    expected = default.get_config("smoke")
    expected.name = "levels-base"
    expected.report = False  # a page for each of many runs
    assert base.to_dict() == expected.to_dict()


def test_a_grid_has_all_combinations_beside_the_runs():
    axes = {"denoiser.level": (1, 2), "denoiser.wavelet": ("haar", "db2")}
    variants = sweep.expand(levels({"own": {}}, seeds=(0,), grid=axes))
    found = {v.name: (v.config.denoiser.level, v.config.denoiser.wavelet)
             for v in variants}  # fmt: skip
    assert found == {
        "own": (2, "db2"),
        "level=1,wavelet=haar": (1, "haar"),
        "level=1,wavelet=db2": (1, "db2"),
        "level=2,wavelet=haar": (2, "haar"),
        "level=2,wavelet=db2": (2, "db2"),
    }


def test_names_in_a_grid_tell_fields_apart_and_fit_folders():
    axes = {
        "denoiser.level": (1,),
        "model.level": (2,),
        "data.builder": ("simulated_thermograms/tiny",),
        "model.widths": ((4, 8),),
    }
    (name,) = sweep.grid(axes)
    assert name == (
        "denoiser.level=1,model.level=2,builder=simulated_thermograms_tiny,widths=(4,8)"
    )


@pytest.mark.parametrize("mode", ["full", "smoke"])
def test_the_sweep_of_thresholds_expands(mode):
    variants = sweep.expand(thresholds.get_config(mode))
    rules = {variant.config.denoiser.threshold_rule for variant in variants}
    full = {"fixed", "universal", "bayes", "sure", "learned", "predicted"}
    assert rules == (full if mode == "full" else {"universal", "learned"})
    # One factor at a time: no two runs are the same.
    configs = [
        variant.config.denoiser.to_json()
        for variant in variants
        if variant.seed == 0 and "wbad" in variant.config.arms
    ]
    assert len(set(configs)) == len(configs)


@pytest.mark.parametrize("mode", ["full", "smoke"])
@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_expands(name, mode):
    module = importlib.import_module(f"configs.sweeps.{name}")
    variants = sweep.expand(module.get_config(mode))
    assert len(variants) > 1
    assert len({str(variant.path) for variant in variants}) == len(variants)


def test_the_first_run_is_the_reference_unless_named():
    assert sweep.reference(levels()) == "deep"
    assert sweep.reference(levels(reference="flat")) == "flat"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": {"deep": {"denoiser.depth": 2}}}, "run 'deep': .*denoiser.depth"),
        ({"runs": {"deep": {"denoser.level": 2}}}, "run 'deep': .*denoser.level"),
        ({"runs": {"deep": {"denoiser.level": "2"}}}, "run 'deep': .*denoiser.level"),
        ({"runs": {"deep": {"denoiser": 3}}}, "run 'deep': field denoiser"),
        ({"runs": {"deep": {"denoiser.threshold_rule": "best"}}},
         "run 'deep': .*threshold_rule must be one of .*got 'best'"),
        ({"runs": {"deep": {"evaluation.sets": ("train",)}}}, "'deep': .*sets"),
        ({"runs": {"deep": {"evaluation.attacks": ("pdg",)}}}, "'deep': .*pdg"),
        ({"runs": {"deep": {"arms": ("undefended", "best")}}}, "'deep': arms .*'best'"),
        ({"runs": {"deep": {"seed": 3}}}, "run 'deep': seed is given by the sweep"),
        ({"runs": {"deep/er": {}}}, "names fit for a folder, got 'deep/er'"),
        ({"runs": {"..": {}}}, "names fit for a folder"),
        ({"runs": {}}, "needs runs or a grid"),
        ({"seeds": ()}, "needs .* at least one of seeds"),
        ({"seeds": (0, 1, 0)}, r"seeds must differ, got \[0\] more than once"),
        ({"seeds": ("a",)}, "seeds must be integers, got 'a'"),
        ({"reference": "none"}, r"reference must be one of .*got 'none'"),
        ({"shown_arms": ("best",)}, r"shown_arms names \['best'\]; the runs have"),
        ({"shown_attacks": ("best",)}, r"shown_attacks names \['best'\]"),
        ({"grid": {"denoiser.level": (1, 1)}}, "grid of denoiser.level .* each once"),
        ({"grid": {"denoiser.level": ()}}, "grid of denoiser.level must have values"),
        ({"grid": {"denoiser.depth": (1,)}}, "run 'depth=1': .*denoiser.depth"),
        ({"runs": {"level=1": {}}, "grid": {"denoiser.level": (1,)}},
         r"runs must differ, got \['level=1'\] more than once"),
    ],
)  # fmt: skip
def test_impossible_sweeps_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        sweep.expand(levels(**changes))

"""What the start-up benchmark and the kill drill make of what they measure."""

import numpy as np
import pytest

from benchmarks import kill_drill, start_up


@pytest.mark.fast
@pytest.mark.parametrize("seed", range(5))
def test_enough_saves_are_hit_however_the_kinds_fall(seed):
    rng, hits = np.random.default_rng(seed), 0
    kinds = []
    for left in range(20, 0, -1):
        kinds.append(kill_drill.choose_kind(rng, left, 12 - hits))
        hits += kinds[-1] == "save"
    assert hits >= 12
    assert set(kinds) == {"start", "step", "save"}


@pytest.mark.fast
def test_a_save_under_way_is_told_by_its_temporary_folder(tmp_path):
    drill = kill_drill.Drill(tmp_path, num_steps=3)
    (tmp_path / "wbad" / "checkpoints" / "6").mkdir(parents=True)
    assert not drill.saves_under_way()
    assert drill.steps_logged() == 0
    temporary = tmp_path / "wbad" / "checkpoints" / "9.orbax-checkpoint-tmp-3"
    temporary.mkdir()
    assert drill.saves_under_way() == {str(temporary)}


@pytest.mark.fast
def test_ratios_are_of_medians():
    def measured(seconds):
        return {"compile_seconds": seconds, "programs": 1, "step_bytes": {"temp": 5}}

    rounds = [
        {"cold": measured(cold), "warm": measured(warm)}
        for cold, warm in ((10.0, 2.0), (90.0, 1.0), (12.0, 3.0))
    ]
    assert start_up.summarise(rounds) == {
        "compile_seconds": {"cold": 12.0, "warm": 2.0, "ratio": 6.0},
        "programs": {"cold": 1, "warm": 1},
    }

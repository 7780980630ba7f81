"""The ablation of thresholds, from outcomes made by hand, and the subbands' algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import threshold_bands, thresholds
from experiments import sweep_scores
from tests.hand_made import outcome
from wbad_jax import evaluation, wavelets


def run_folders(folder, left):
    """Two seeds, of which `left` withstand PGD, and all the approximation's attack."""
    folders = []
    for seed in (0, 1):
        outcomes = [
            outcome([1, 1, 1, 0], seed=seed),
            outcome(left, seed=seed, attack="pgd"),
            outcome([1, 1, 1, 0], seed=seed, attack="subband"),
        ]
        folders.append(folder / f"seed{seed}")
        folders[-1].mkdir(parents=True)
        evaluation.write_parquet(outcomes, folders[-1] / "predictions.parquet")
    return folders


def scores_of(folders):
    return sweep_scores.of_arm(folders, "wbad", thresholds.CONDITIONS)


@pytest.mark.fast
def test_differences_to_each_reference_by_hand(tmp_path):
    learned = scores_of(run_folders(tmp_path / "learned", [1, 1, 0, 0]))
    universal = scores_of(run_folders(tmp_path / "universal", [1, 0, 0, 0]))
    row = thresholds.run_row("learned", learned, {"universal": universal})
    assert row["accuracy"]["clean"]["accuracy"] == 0.75
    assert row["accuracy"]["adaptive"]["accuracy"] == 0.5  # worst case of both
    assert row["accuracy"]["approximation"]["accuracy"] == 0.75
    assert row["minus"]["universal"]["adaptive"]["difference"] == 0.25
    assert row["minus"]["universal"]["clean"]["difference"] == 0
    assert (
        thresholds.run_row("universal", universal, {"universal": universal})["minus"]
        == {}
    )


@pytest.mark.fast
def test_collapse_is_that_of_the_last_line(tmp_path):
    lines = [
        '{"run": "wbad", "step": 1, "threshold/collapsed": 0.0}',
        '{"run": "wbad", "step": 2, "threshold/collapsed": 0.5}',
        '{"run": "other", "step": 3, "threshold/collapsed": 1.0}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert thresholds.collapsed_of(tmp_path) == 0.5


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("level", [1, 3])
def test_a_lesion_as_strong_as_the_best_perturbation_has_ratio_one(wavelet, level):
    """The worst perturbation of a coefficient is the sign of its gradient."""
    epsilon = 0.02

    def middle(image, band):
        found = wavelets.wavedec2(image, wavelet, "symmetric", level)
        chosen = found[0] if band == "approximation" else found[1].horizontal
        row = chosen.shape[1] // 2
        return chosen[0, row, row, 0]

    image = jnp.zeros((1, 128, 128, 1))
    worst = {
        band: epsilon * jnp.sign(jax.grad(middle)(image, band))
        for band in ("approximation", "horizontal")
    }
    for band, name in (("approximation", "approximation"), ("horizontal", "details")):
        rows = threshold_bands.lesion_ratios(
            np.asarray(worst[band]), epsilon, wavelet, level
        )
        assert rows[-1][name] == pytest.approx(1, abs=1e-5)

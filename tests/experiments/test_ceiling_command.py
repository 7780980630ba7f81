"""The command that brackets robust accuracy, on a cohort made of noise and spots."""

import json

import numpy as np
import pytest

from experiments import bracket, ceiling, ceiling_plot
from experiments.config_errors import ConfigError
from tests.flat_twins import SETTINGS, SHAPE, WINDOW, spots


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return tmp_path_factory.mktemp("bracket") / "new" / "ceiling.json"


@pytest.fixture(scope="module")
def record(stored):
    lengths = []

    def store(record):
        ceiling.write(record, stored)
        lengths.append(len(record["rows"]))

    record = bracket.bracket(
        spots(),
        SETTINGS,
        [0.5, 4.0, 64.0],
        ["linf", "l2"],
        seed=0,
        max_train=100,
        max_informed=5,
        store=store,
    )
    # A run that is stopped leaves what it has.
    assert lengths == [1, 2, 3, 4, 5, 6]
    return record


def test_what_is_certified_is_under_every_bound(record):
    assert record["train_patients"] + record["test_patients"] == 48
    assert record["informed_patients"] == 5
    assert len(record["rows"]) == 6
    for row in record["rows"]:
        informed, scanning = row["informed"], row["scanning"]
        assert informed["largest_gap"] <= 1e-4
        assert informed["reached"] <= informed["ceiling"]
        assert scanning["accuracy"] <= row["pair_bound"]["accuracy"]
        assert scanning["ci_low"] <= informed["ceiling"]


def test_bounds_fall_from_all_to_a_coin(record):
    for norm in ("linf", "l2"):
        rows = [row for row in record["rows"] if row["norm"] == norm]
        ceilings = [row["informed"]["ceiling"] for row in rows]
        assert ceilings == sorted(ceilings, reverse=True)
        assert ceilings[0] > 0.95
        assert ceilings[-1] == pytest.approx(0.5, abs=1e-3)
        assert rows[0]["pair_bound"]["conflicts"] == 0
        assert rows[-1]["pair_bound"]["accuracy"] == 0.5


def test_radii_are_in_the_unit_of_the_lesions(record):
    first = record["rows"][0]
    assert first["epsilon"] == pytest.approx(0.5 / 255)
    assert first["epsilon_celsius"] == pytest.approx(0.5 / 255 * 16)
    l2 = [row for row in record["rows"] if row["norm"] == "l2"][0]
    assert l2["epsilon"] == pytest.approx(first["epsilon"] * record["l2_ratio"])


def test_it_is_drawn_from_what_is_stored(record, stored, tmp_path):
    path = tmp_path / "bracket.png"
    ceiling_plot.draw(json.loads(stored.read_text(encoding="utf-8")), path)
    assert path.stat().st_size > 5000
    assert "A >= " in bracket.format_row(record["rows"][0])


def test_the_spectra_are_those_of_drawn_fields():
    spectra = bracket.noise_spectra(SETTINGS, np.array([0.05 / 16]), WINDOW)
    assert spectra.shape == (1, *SHAPE)
    variance = (0.2**2 + 0.05**2) / 16**2
    assert spectra.mean() == pytest.approx(variance, rel=1e-6)


def test_both_states_are_needed():
    dataset = spots(8)
    with pytest.raises(ConfigError, match="both states"):
        bracket.pairs_of(dataset, np.flatnonzero(dataset.factual))


@pytest.mark.parametrize("words", [["1", "x"], ["0"], ["-1"], [], ["inf"]])
def test_radii_have_to_be_positive_numbers(words):
    with pytest.raises(ConfigError, match="epsilons needs positive numbers"):
        ceiling._numbers(words)

"""Many pictures are prepared once, and an evaluation holds what it held."""

import pytest

from benchmarks import large_folder


@pytest.mark.slow
def test_a_thousand_pictures_and_a_long_evaluation(tmp_path):
    found = large_folder.measure(tmp_path, images=1000, calls=40)
    assert found["prepared_once"]
    assert found["first_load"]["images"] == found["second_load"]["images"] == 1000
    assert found["second_load"]["patients"] == 10
    assert found["evaluation"]["growth_mib"] < large_folder.MOST_GROWTH_MIB

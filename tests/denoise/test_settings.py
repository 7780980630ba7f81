"""Settings are refused where they cannot work, with field, rule and value."""

import json

import numpy as np
import pytest

from wbad_jax import denoise
from wbad_jax.denoise.settings import fixed_thresholds


@pytest.mark.fast
@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("mode", "mirror", "must be one of"),
        ("backend", "numpy", "must be one of"),
        ("shrinkage", "softer", "must be one of"),
        ("threshold_rule", "median", "must be one of"),
        ("sharing", "pixel", "must be one of"),
        ("level", 0, "at least 1"),
        ("threshold", -0.5, "must not be negative"),
        ("threshold", float("nan"), "must not be negative"),
        ("threshold", (0.1, -0.2), "must not be negative"),
        ("threshold", (0.1, 0.2, 0.3), r"nested in lengths \(2,\)"),
        ("threshold", ((0.1, 0.2), (0.3, 0.4)), r"\(2, 3\) or \(2, 3, channels\)"),
        ("threshold", ((0.1, 0.2, 0.3), 0.4), r"one for each level"),
        ("threshold", (((),) * 3,) * 2, r"one for each level"),
        ("sigma", -0.25, "must not be negative"),
        ("initial_scale", 0.0, "must be positive"),
        ("initial_scale", float("nan"), "must be positive"),
        ("smooth_width", 0.0, "must be positive"),
        ("max_shifts", -1, "must not be negative"),
    ],
)
def test_errors_name_field_rule_and_value(field, value, rule):
    with pytest.raises(ValueError, match=rule) as error:
        denoise.DenoiserSettings(**{field: value})
    assert field in str(error.value)
    assert str(value) in str(error.value)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level_noise": True, "sigma": 0.1}, "level_noise .* None, got sigma 0.1"),
        ({"stationary": True, "mode": "smooth"}, "mode must be .* got 'smooth'"),
        ({"stationary": True, "max_shifts": 1}, "max_shifts must be 0 .* got 1"),
    ],
)
def test_combinations_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        denoise.DenoiserSettings(**fields)


@pytest.mark.fast
def test_an_unknown_wavelet_is_refused():
    with pytest.raises(ValueError, match="db99"):
        denoise.DenoiserSettings(wavelet="db99")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, np.full((2, 3, 1), 0.5)),
        ((1, 2), np.array([[[1]] * 3, [[2]] * 3])),
        (((1, 2, 3), (4, 5, 6)), np.arange(1, 7).reshape(2, 3, 1)),
        (
            (((1, 2), (3, 4), (5, 6)), ((7, 8), (9, 10), (11, 12))),
            np.arange(1, 13).reshape(2, 3, 2),
        ),
    ],
)
def test_fixed_thresholds_of_each_nesting(threshold, expected):
    settings = denoise.DenoiserSettings(threshold=threshold)
    np.testing.assert_array_equal(fixed_thresholds(settings), expected)
    # A configuration that was written to a file comes back with lists.
    again = denoise.DenoiserSettings(threshold=json.loads(json.dumps(threshold)))
    assert again == settings
    assert hash(again) == hash(settings)

"""Colours of pictures: for temperatures and, white in the middle, for differences."""

from typing import Any

from plotly import colors

_STEPS = 256


def _ramp(scale: list[str]) -> list[list[int]]:
    """256 colours evenly through a scale, each red, green and blue of 0 .. 255."""
    shares = [step / (_STEPS - 1) for step in range(_STEPS)]
    found: Any = colors.sample_colorscale(scale, shares, colortype="tuple")
    return [[round(255 * part) for part in colour] for colour in found]


RAMPS = {
    "heat": _ramp(colors.sequential.Inferno),
    "difference": _ramp(colors.diverging.RdBu[::-1]),
}

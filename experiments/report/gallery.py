"""Pictures of a few examples, clean and attacked, in degrees Celsius."""

import base64
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pywt
from PIL import Image
from plotly import colors

from experiments.report.page import Bar, Pictures
from experiments.report.run_files import Run
from experiments.report.wording import MINUS, radius

_HEADINGS = ("image", "attacked", "perturbation", "denoised", "attacked, denoised")
_BAR_PIXELS = 256


def _ramp(scale: list[str]) -> np.ndarray:
    """256 colours through the given ones, `[256, 3]` uint8."""
    given = np.array([colors.validate_colors(c, "tuple")[0] for c in scale])
    at = np.linspace(0, len(given) - 1, _BAR_PIXELS)
    columns = [np.interp(at, range(len(given)), column) for column in given.T]
    return np.round(255 * np.stack(columns, axis=-1)).astype(np.uint8)


# Even steps of perceived brightness; and white in the middle for differences.
_HEAT = _ramp(colors.sequential.Inferno)
_DIFFERENCE = _ramp(colors.diverging.RdBu[::-1])


def pictures(run: Run, arm: str, title: str) -> Pictures:
    """The gallery of an arm.

    Args:
        run: With the gallery of this arm.
        arm: Which.
        title: Above the pictures.
    """
    arrays = run.galleries[arm]
    low, width = run.window[0], run.width
    celsius = {
        name: low + width * arrays[name][..., 0]
        for name in ("images", "adversarial", "denoised", "denoised_adversarial")
    }
    ends = (
        min(a.min() for a in celsius.values()),
        max(a.max() for a in celsius.values()),
    )
    change = celsius["adversarial"] - celsius["images"]
    largest = float(np.abs(change).max()) or 1e-6
    bands = [_bands(image, run) for image in celsius["images"]]
    # The outline of the body would leave nothing else visible.
    details = np.concatenate([np.abs(b).ravel() for _, of in bands for b in of])
    detail = float(np.quantile(details, 0.98)) or 1e-6
    rows = []
    for i, name in enumerate(arrays["example_ids"]):
        shown = [
            _heat(celsius["images"][i], ends),
            _heat(celsius["adversarial"][i], ends),
        ]
        shown += [_difference(change[i], largest)]
        shown += [
            _heat(celsius[k][i], ends) for k in ("denoised", "denoised_adversarial")
        ]
        shown += [_mosaic(*bands[i], ends, detail)]
        rows.append((_caption(arrays, i, str(name)), [_png(image) for image in shown]))
    times = (ends[1] - ends[0]) / (2 * largest)
    return Pictures(
        title=", ".join([title, *_attack(run, arrays)]),
        headings=[*_HEADINGS, f"subbands of the image ({_wavelet(run)[0]})"],
        rows=rows,
        bars=[
            _bar("temperature", _HEAT, *ends),
            _bar(f"perturbation, colours ×{times:.3g}", _DIFFERENCE, -largest, largest),
            _bar("details of the subbands, clipped", _DIFFERENCE, -detail, detail),
        ],
    )


def _attack(run: Run, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Which attack made the pictures, where the file says so."""
    if "attack" in arrays:
        yield str(arrays["attack"])
        yield radius(float(arrays["epsilon"]), run.width, str(arrays["norm"]))


def _caption(arrays: Mapping[str, np.ndarray], i: int, name: str) -> str:
    def words(logits: np.ndarray) -> str:
        return "tumour" if int(np.argmax(logits)) == 1 else "healthy"

    truth = "tumour" if int(arrays["labels"][i]) == 1 else "healthy"
    return (
        f"{name}\ntruth: {truth}\nclean: {words(arrays['logits'][i])}\n"
        f"attacked: {words(arrays['logits_adversarial'][i])}"
    )


def _wavelet(run: Run) -> tuple[str, str]:
    denoiser = ((run.config or {}).get("config") or {}).get("denoiser") or {}
    return denoiser.get("wavelet", "haar"), denoiser.get("mode", "symmetric")


def _bands(celsius: np.ndarray, run: Run) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Approximation and details of one level, scaled so that both are in °C."""
    wavelet, mode = _wavelet(run)
    approximation, details = pywt.dwt2(celsius, wavelet, mode=mode)
    return approximation / 2, tuple(band / 2 for band in details)


def _mosaic(
    approximation: np.ndarray,
    details: tuple[np.ndarray, ...],
    ends: tuple[float, float],
    largest: float,
) -> np.ndarray:
    horizontal, vertical, diagonal = (_difference(band, largest) for band in details)
    quarters = [_heat(approximation, ends), horizontal, vertical, diagonal]
    quarters = [
        np.pad(q, ((0, 1), (0, 1), (0, 0)), constant_values=255) for q in quarters
    ]
    rows = [np.concatenate(quarters[i : i + 2], axis=1) for i in (0, 2)]
    return np.concatenate(rows)[:-1, :-1]


def _heat(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return _coloured(values, *ends, _HEAT)


def _difference(values: np.ndarray, largest: float) -> np.ndarray:
    return _coloured(values, -largest, largest, _DIFFERENCE)


def _coloured(values: np.ndarray, low: float, high: float, ramp: np.ndarray):
    share = (values - low) / max(high - low, 1e-12)
    return ramp[np.round(np.clip(share, 0, 1) * (_BAR_PIXELS - 1)).astype(int)]


def _png(rgb: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _bar(title: str, ramp: np.ndarray, low: float, high: float) -> Bar:
    def words(value: Any) -> str:
        return f"{value:.3g} °C".replace("-", MINUS)

    return Bar(
        title=f"{title}, °C", png=_png(ramp[None]), low=words(low), high=words(high)
    )

"""One filtering pass along one axis: which filters, which border, which sizes.

A pass stands for a matrix: the *split* of a signal of `length` samples into a low and a
high band of `size` samples each,

    band[k] = sum_j taps[j] extended[2 k + j],

where the extended signal begins `before` samples ahead of the signal. The *merge* is
its transpose. One description serves the whole transform: the inverse transform is the
transpose of an analysis with the reconstruction filters.
"""

from typing import NamedTuple

from wbad_jax.wavelets.filters import Wavelet

Taps = tuple[float, ...]


class Pass(NamedTuple):
    """Static description of a pass; hashable.

    Attributes:
        axis: Axis, negative, so that leading axes may be added.
        low: Low-pass taps, in the order of a correlation.
        high: High-pass taps, likewise.
        mode: Boundary mode.
        length: Samples of the signal along `axis`.
        size: Samples of each band along `axis`.
    """

    axis: int
    low: Taps
    high: Taps
    mode: str
    length: int
    size: int

    @property
    def before(self) -> int:
        """Samples that the extension adds in front."""
        taps = len(self.low)
        return taps // 2 - 1 if self.mode == "periodization" else taps - 2

    @property
    def after(self) -> int:
        """Samples that the extension adds behind."""
        return 2 * self.size + len(self.low) - 2 - self.before - self.length


def analysis_pass(bank: Wavelet, mode: str, axis: int, length: int) -> Pass:
    """The pass that decomposes `length` samples along `axis`."""
    size = band_size(length, len(bank), mode)
    return Pass(axis, bank.dec_lo[::-1], bank.dec_hi[::-1], mode, length, size)


def synthesis_pass(bank: Wavelet, mode: str, axis: int, size: int, length: int) -> Pass:
    """The pass whose merge reconstructs a signal from bands of `size` samples.

    The merge makes `length` samples, or the full even number with "periodization".
    """
    # Only periodization needs to know how the signal was extended: in all other modes
    # the bands hold enough samples beyond the border.
    if mode == "periodization":
        length = signal_length(size, len(bank), mode)
    else:
        mode = "zero"
    return Pass(axis, bank.rec_lo, bank.rec_hi, mode, length, size)


def band_size(length: int, num_taps: int, mode: str) -> int:
    """Samples of each band of a signal of `length` samples."""
    if mode == "periodization":
        return (length + 1) // 2
    return (length + num_taps - 1) // 2


def signal_length(size: int, num_taps: int, mode: str) -> int:
    """Samples of the signal synthesized from bands of `size` samples."""
    return 2 * size if mode == "periodization" else 2 * size - num_taps + 2

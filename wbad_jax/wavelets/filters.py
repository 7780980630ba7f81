"""Wavelet filters by name, with the taps of PyWavelets."""

import dataclasses
import difflib
import functools

import pywt  # pyright cannot see the names of its compiled modules.


@dataclasses.dataclass(frozen=True)
class Wavelet:
    """The four filters of a discrete wavelet.

    Frozen, hence hashable: a static argument under `jax.jit`. The taps are Python
    floats, which JAX treats as weakly typed, so they never change an image's dtype.

    Attributes:
        name: Name, as in `wavelist()` or of your own choice.
        dec_lo: Low-pass decomposition filter.
        dec_hi: High-pass decomposition filter.
        rec_lo: Low-pass reconstruction filter.
        rec_hi: High-pass reconstruction filter.

    Raises:
        ValueError: If the filters are not of one even length.

    Examples:
        >>> from wbad_jax.wavelets import Wavelet, dwt
        >>> mine = Wavelet("mine", (0.5, 0.5), (-0.5, 0.5), (1.0, 1.0), (1.0, -1.0))
        >>> dwt([1.0, 3.0], mine).approx
        Array([2.], dtype=float32)
    """

    name: str
    dec_lo: tuple[float, ...]
    dec_hi: tuple[float, ...]
    rec_lo: tuple[float, ...]
    rec_hi: tuple[float, ...]

    def __post_init__(self):
        for field in ("dec_lo", "dec_hi", "rec_lo", "rec_hi"):
            # Lists would not be hashable, NumPy floats would decide the dtype.
            taps = tuple(float(tap) for tap in getattr(self, field))
            object.__setattr__(self, field, taps)
        bank = (self.dec_lo, self.dec_hi, self.rec_lo, self.rec_hi)
        lengths = [len(taps) for taps in bank]
        if len(set(lengths)) != 1 or lengths[0] < 2 or lengths[0] % 2:
            raise ValueError(
                f"The filters of wavelet {self.name!r} must have one even length, got "
                f"lengths {lengths}; pad them with zeros."
            )

    def __len__(self) -> int:
        """Number of taps of each filter."""
        return len(self.dec_lo)


def wavelist() -> list[str]:
    """Names of all wavelets that the transforms accept.

    Examples:
        >>> from wbad_jax.wavelets import wavelist
        >>> "db2" in wavelist(), "bior4.4" in wavelist()
        (True, True)
    """
    return pywt.wavelist(kind="discrete")  # pyright: ignore


@functools.cache
def _from_pywavelets(name: str) -> Wavelet:
    try:
        bank = pywt.Wavelet(name).filter_bank  # pyright: ignore
    except ValueError:
        known = wavelist()
        close = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {known}."
        raise ValueError(f"Unknown wavelet {name!r}: {hint}") from None
    return Wavelet(name, *map(tuple, bank))


def as_wavelet(wavelet: str | Wavelet) -> Wavelet:
    """Looks a wavelet up by name; returns a `Wavelet` unchanged.

    Raises:
        TypeError: If `wavelet` is neither a name nor a `Wavelet`.
        ValueError: If no wavelet has that name; the message lists close matches.

    Examples:
        >>> from wbad_jax.wavelets import as_wavelet
        >>> as_wavelet("db2").name
        'db2'
        >>> len(as_wavelet("db2").dec_lo)
        4
    """
    if isinstance(wavelet, Wavelet):
        return wavelet
    if isinstance(wavelet, str):
        return _from_pywavelets(wavelet)
    raise TypeError(f"wavelet must be a name or a Wavelet, got {wavelet!r}.")

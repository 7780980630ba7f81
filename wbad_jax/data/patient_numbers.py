"""Patients named in any way, as numbers."""

from collections.abc import Sequence

import numpy as np

# More digits do not fit 64 bits.
_MOST_DIGITS = 18


def number_patients(names: Sequence[str]) -> np.ndarray:
    """Numbers patients by their names.

    Args:
        names: One an example. Where all are whole numbers, they stay as they are, and
            "01" is "1".

    Returns:
        `[len(names)]` int64; of other names the position in alphabetical order.
    """
    if all(n.isascii() and n.isdecimal() and len(n) <= _MOST_DIGITS for n in names):
        return np.array([int(name) for name in names], np.int64)
    order = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], np.int64)

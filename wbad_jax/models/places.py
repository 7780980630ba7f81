"""What a network learns of single places, where convolutions treat all alike.

Thermograms are taken in one pose: a warm spot under the breast is usual, the same spot
beside it is not. Offsets for each place of the feature grid let a small network know.
"""

from flax import nnx
from jax import numpy as jnp
from jaxtyping import Array, Float


class PlaceOffsets(nnx.Module):
    """Adds a learned number to each channel at each place; zero at the start.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import PlaceOffsets
        >>> offsets = PlaceOffsets((2, 3), 4)
        >>> offsets(jnp.ones((1, 2, 3, 4))).shape, offsets.offset.shape
        ((1, 2, 3, 4), (2, 3, 4))
    """

    def __init__(self, grid: tuple[int, int] | None, channels: int):
        """Create the parameters.

        Args:
            grid: Rows and columns of the maps; None adds nothing.
            channels: Of the maps.
        """
        self.offset = None if grid is None else nnx.Param(jnp.zeros((*grid, channels)))

    def __call__(
        self, maps: Float[Array, "batch rows columns channels"]
    ) -> Float[Array, "batch rows columns channels"]:
        """Maps of the same shape and dtype."""
        if self.offset is None:
            return maps
        return maps + self.offset[...].astype(maps.dtype)


class PlaceScale(nnx.Module):
    """Standardises a map by place: times a learned gain, plus an offset.

    Both say of each place what is usual there, as centre and scale of
    `evaluation.ScanningObserver` do; at the start the map is left as it is.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import PlaceScale
        >>> PlaceScale((2, 3))(jnp.ones((1, 2, 3))).sum()
        Array(6., dtype=float32)
    """

    def __init__(self, grid: tuple[int, int] | None):
        """Create the parameters; None for the grid changes nothing."""
        known = grid is not None
        self.log_gain = nnx.Param(jnp.zeros(grid)) if known else None
        self.offset = nnx.Param(jnp.zeros(grid)) if known else None

    def __call__(
        self, maps: Float[Array, "batch rows columns"]
    ) -> Float[Array, "batch rows columns"]:
        """Maps of the same shape."""
        if self.log_gain is None or self.offset is None:
            return maps
        return maps * jnp.exp(self.log_gain[...]) + self.offset[...]

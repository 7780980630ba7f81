"""A network that predicts the lesion, and classifies by its warmest place.

Where a patient is known in both states, the difference of her images is the lesion: a
target for every place, in place of one label an image. The logits see the map alone, so
the map says where the decision comes from.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax.models.cnn import (
    apply_blocks,
    group_norm,
    maximum_pooling,
    residual_blocks,
)
from wbad_jax.models.features import FeatureImages
from wbad_jax.models.layers import conv3x3
from wbad_jax.models.places import PlaceOffsets, PlaceScale
from wbad_jax.models.precision import at_least_float32
from wbad_jax.types import Logits

LesionMaps = Float[Array, "batch map_height map_width"]
# Of the logits at the start: a lesion's mean excess over a cell is some 0.5 to 2 at the
# network's scale.
_START_SCALE, _START_BIAS = 2.0, 0.5


class LesionMapNetwork(nnx.Module):
    """Residual blocks, a map of the lesion, and its maximum against a threshold.

    Examples:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import LesionMapNetwork
        >>> network = LesionMapNetwork(4, 2, rngs=nnx.Rngs(params=0), widths=(4,))
        >>> maps = network.lesion_map(jnp.ones((1, 8, 8, 4)))
        >>> maps.shape, network.logits_of(maps).shape
        ((1, 8, 8), (1, 2))
    """

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = (16, 32),
        blocks: int = 1,
        downsampling_wavelet: str | None = None,
        remat: bool = False,
        grid: tuple[int, int] | None = None,
        rngs: nnx.Rngs,
    ):
        """Create the parameters; arguments as of `ResidualCNN`.

        With a `grid` each cell of the map has a gain and an offset of its own as well.

        Raises:
            ValueError: If there are not two classes.
        """
        if num_classes != 2:
            raise ValueError(
                f"model 'lesion_map' tells two classes apart, got {num_classes}."
            )
        self.remat = remat
        self.stem = conv3x3(inputs, widths[0], rngs=rngs)
        self.places = PlaceOffsets(grid, widths[0])
        self.blocks = residual_blocks(
            widths, blocks, downsampling_wavelet=downsampling_wavelet, rngs=rngs
        )
        self.norm = group_norm(widths[-1])
        self.excess = conv3x3(widths[-1], 1, rngs=rngs)
        cell = 2 ** (len(widths) - 1)
        self.usual = PlaceScale(
            None if grid is None else (-(-grid[0] // cell), -(-grid[1] // cell))
        )
        self.scale = nnx.Param(jnp.float32(_START_SCALE))
        self.bias = nnx.Param(jnp.float32(_START_BIAS))

    def __call__(self, features: FeatureImages) -> Logits:
        """Map feature images to logits `[batch, 2]`."""
        return self.logits_of(self.lesion_map(features))

    def lesion_map(self, features: FeatureImages) -> LesionMaps:
        """What the tumour adds to each cell, in multiples of `ModelSettings.scale`."""
        maps = self.places(self.stem(features))
        maps = apply_blocks(self.blocks, maps, remat=self.remat)
        excess = self.excess(nnx.relu(self.norm(maps)))[..., 0]
        return self.usual(at_least_float32(excess))

    def logits_of(self, lesion_map: LesionMaps) -> Logits:
        """Logits `[batch, 2]` of maps."""
        largest = maximum_pooling(lesion_map[..., None])[:, 0]
        evidence = self.scale[...] * (largest - self.bias[...]) / 2
        return jnp.stack([-evidence, evidence], axis=-1)

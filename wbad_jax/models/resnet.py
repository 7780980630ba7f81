"""The pre-activation residual network of the adversarial-training literature."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax.models.cnn import apply_blocks, group_norm, residual_blocks
from wbad_jax.models.features import FeatureImages
from wbad_jax.models.layers import conv1x1, conv3x3
from wbad_jax.models.places import PlaceOffsets
from wbad_jax.models.precision import at_least_float32
from wbad_jax.types import Logits


class ResNet(nnx.Module):
    """Stem, stages of pre-activation blocks, mean pooling.

    Four stages of two blocks with widths (64, 128, 256, 512) are the PreActResNet-18
    that robustness is usually reported on. Against `ResidualCNN`: shortcuts are 1x1
    convolutions, and nothing but the mean is pooled. Against the original: group
    instead of batch normalisation, see there why.

    Reference:
        He et al. (2016), Identity mappings in deep residual networks.

    Examples:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import ResNet
        >>> network = ResNet(4, 2, rngs=nnx.Rngs(params=0), widths=(4,), blocks=1)
        >>> network(jnp.ones((1, 8, 8, 4))).shape
        (1, 2)
    """

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: int = 2,
        downsampling_wavelet: str | None = None,
        remat: bool = False,
        grid: tuple[int, int] | None = None,
        rngs: nnx.Rngs,
    ):
        """Create the parameters; arguments as of `ResidualCNN`."""
        self.remat = remat
        self.stem = conv3x3(inputs, widths[0], rngs=rngs)
        self.places = PlaceOffsets(grid, widths[0])
        self.blocks = residual_blocks(
            widths,
            blocks,
            downsampling_wavelet=downsampling_wavelet,
            projection=conv1x1,
            rngs=rngs,
        )
        self.norm = group_norm(widths[-1])
        self.head = nnx.Linear(widths[-1], num_classes, rngs=rngs)

    def __call__(self, features: FeatureImages) -> Logits:
        """Map feature images to logits `[batch, classes]`."""
        return self.head(self.penultimate(features))

    def penultimate(self, features: FeatureImages) -> Float[Array, "batch features"]:
        """What the last, linear layer sees of feature images."""
        maps = self.places(self.stem(features))
        maps = apply_blocks(self.blocks, maps, remat=self.remat)
        maps = at_least_float32(nnx.relu(self.norm(maps)))
        return jnp.mean(maps, axis=(1, 2))

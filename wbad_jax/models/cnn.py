"""A small residual network on DWT feature images."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax import stages
from wbad_jax.models.downsampling import low_pass
from wbad_jax.models.features import FeatureImages
from wbad_jax.models.layers import GroupNorm, Maps, conv3x3
from wbad_jax.models.places import PlaceOffsets
from wbad_jax.models.precision import at_least_float32
from wbad_jax.models.rematerialisation import rematerialised
from wbad_jax.types import Logits, Params


class ResidualBlock(nnx.Module):
    """Two 3x3 convolutions with group normalisation and a shortcut.

    Reference:
        He et al. (2016), Identity mappings in deep residual networks, figure 4e.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        halve: bool = False,
        downsampling_wavelet: str | None = None,
        projection: Callable[..., nnx.Conv] = conv3x3,
        rngs: nnx.Rngs,
    ):
        """Create the parameters, the same ones with and without a low-pass.

        Args:
            inputs: Channels of the maps.
            outputs: Channels of the result.
            halve: Whether the result has half the resolution.
            downsampling_wavelet: Wavelet that halves it; None takes strides of 2.
            projection: Convolution of the shortcut where channels or size change.
            rngs: Source of the initial weights.
        """
        stride = 2 if halve and downsampling_wavelet is None else 1
        self.norm1 = group_norm(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride=stride, rngs=rngs)
        self.norm2 = group_norm(outputs)
        self.conv2 = conv3x3(outputs, outputs, rngs=rngs)
        reshapes = halve or inputs != outputs
        self.shortcut = (
            projection(inputs, outputs, stride=stride, rngs=rngs) if reshapes else None
        )
        self.downsampling_wavelet = downsampling_wavelet if halve else None

    def __call__(self, maps):
        """Transform `[batch, height, width, channels]` maps."""
        activated = nnx.relu(self.norm1(maps))
        residual = self._halved(self.conv1(activated))
        residual = self.conv2(nnx.relu(self.norm2(residual)))
        if self.shortcut is None:
            return residual + maps
        return residual + self._halved(self.shortcut(activated))

    def _halved(self, maps):
        wavelet = self.downsampling_wavelet
        return maps if wavelet is None else low_pass(maps, wavelet)


def residual_blocks(
    widths: Sequence[int],
    blocks: int,
    *,
    downsampling_wavelet: str | None,
    projection: Callable[..., nnx.Conv] = conv3x3,
    rngs: nnx.Rngs,
) -> nnx.List:
    """Stages of `blocks` residual blocks; each but the first halves the resolution.

    Args:
        widths: Channels of each stage, the first of which gets as many.
        blocks: Residual blocks a stage.
        downsampling_wavelet: See `ResidualBlock`.
        projection: See `ResidualBlock`.
        rngs: Source of the initial weights.
    """
    chain = []
    for stage, width in enumerate(widths):
        before = widths[max(stage - 1, 0)]
        for block in range(blocks):
            chain.append(
                ResidualBlock(
                    before if block == 0 else width,
                    width,
                    halve=stage > 0 and block == 0,
                    downsampling_wavelet=downsampling_wavelet,
                    projection=projection,
                    rngs=rngs,
                )
            )
    return nnx.List(chain)


def apply_blocks(blocks: Sequence[nnx.Module], maps: Maps, *, remat: bool) -> Maps:
    """Apply blocks one after the other.

    Args:
        blocks: From `residual_blocks`.
        maps: `[batch, height, width, channels]`.
        remat: Whether only the blocks' inputs are kept for the gradient, and what they
            compute is computed again there: less memory for more time.
    """
    for block in blocks:
        maps = rematerialised(block, maps) if remat else block(maps)
    return maps


class ResidualCNN(nnx.Module):
    """Residual blocks, one stage a width, then mean and maximum pooling.

    Maximum pooling stands beside the mean because a lesion is local. Group
    normalisation instead of batch normalisation keeps examples independent of each
    other: the gradient of one image is the same in any batch.

    Examples:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import ResidualCNN
        >>> network = ResidualCNN(4, 2, rngs=nnx.Rngs(params=0), widths=(4,))
        >>> network(jnp.ones((1, 8, 8, 4))).shape
        (1, 2)
    """

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = (32, 64),
        blocks: int = 1,
        downsampling_wavelet: str | None = None,
        remat: bool = False,
        grid: tuple[int, int] | None = None,
        rngs: nnx.Rngs,
    ):
        """Create the parameters.

        Args:
            inputs: Channels of the feature images.
            num_classes: Number of logits.
            widths: Channels of each stage; every stage after the first halves the
                resolution.
            blocks: Residual blocks a stage.
            downsampling_wavelet: Wavelet that halves the resolution; None takes
                strides of 2.
            remat: Whether gradients compute the blocks again, see `apply_blocks`.
            grid: Rows and columns of the feature images, to learn an offset of the stem
                at each place; None treats all places alike.
            rngs: Source of the initial weights.
        """
        self.remat = remat
        self.stem = conv3x3(inputs, widths[0], rngs=rngs)
        self.places = PlaceOffsets(grid, widths[0])
        self.blocks = residual_blocks(
            widths, blocks, downsampling_wavelet=downsampling_wavelet, rngs=rngs
        )
        self.norm = group_norm(widths[-1])
        self.head = nnx.Linear(2 * widths[-1], num_classes, rngs=rngs)

    def __call__(self, features: FeatureImages) -> Logits:
        """Map feature images to logits `[batch, classes]`."""
        return self.head(self.penultimate(features))

    def penultimate(self, features: FeatureImages) -> Float[Array, "batch features"]:
        """What the last, linear layer sees of feature images."""
        maps = self.places(self.stem(features))
        maps = apply_blocks(self.blocks, maps, remat=self.remat)
        # From here on few numbers count for much.
        maps = at_least_float32(nnx.relu(self.norm(maps)))
        pooled = [jnp.mean(maps, axis=(1, 2)), maximum_pooling(maps)]
        return jnp.concatenate(pooled, axis=-1)


def maximum_pooling(maps):
    """Maximum over height and width, differentiated by position, not by value.

    The gradient of `jnp.max` looks for elements equal to the maximum. XLA may compute
    the maps a second time for that, rounded differently: none is found, and it is NaN.
    """
    flat = maps.reshape(maps.shape[0], -1, maps.shape[-1])
    # In a stage, so that the maximum is looked for in the same numbers.
    find = stages.default_stage()
    position = find(_first_largest, jax.lax.stop_gradient(flat))
    return jnp.take_along_axis(flat, position, axis=1)[:, 0]


def _first_largest(flat):
    """`argmax` over axis 1, which XLA:CPU computes at a third of the speed."""
    pixels = jax.lax.broadcasted_iota(jnp.int32, flat.shape, 1)
    smaller = flat < jnp.max(flat, axis=1, keepdims=True)
    # Not smaller, rather than equal: NaN then leads to the first pixel, NaN as well.
    return jnp.min(jnp.where(smaller, flat.shape[1] - 1, pixels), axis=1, keepdims=True)


def group_norm(channels: int) -> GroupNorm:
    """Normalisation over groups of 8 channels, or fewer where 8 do not fit."""
    return GroupNorm(channels, next(n for n in (8, 4, 2, 1) if channels % n == 0))


def num_parameters(params: Params) -> int:
    """Count the numbers in a tree of parameters.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import num_parameters
        >>> num_parameters({"network": {"kernel": jnp.ones((3, 3, 1, 8))}})
        72
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))

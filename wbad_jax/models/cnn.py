"""A small residual network on DWT feature images."""

import jax
import jax.numpy as jnp
from flax import nnx

from wbad_jax.models.features import FeatureImages
from wbad_jax.models.layers import GroupNorm, conv3x3
from wbad_jax.types import Logits, Params


class ResidualBlock(nnx.Module):
    """Two 3x3 convolutions with group normalisation and a shortcut.

    Reference:
        He et al. (2016), Identity mappings in deep residual networks, figure 4e.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        self.norm1 = group_norm(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride=stride, rngs=rngs)
        self.norm2 = group_norm(outputs)
        self.conv2 = conv3x3(outputs, outputs, rngs=rngs)
        reshapes = stride > 1 or inputs != outputs
        self.shortcut = (
            conv3x3(inputs, outputs, stride=stride, rngs=rngs) if reshapes else None
        )

    def __call__(self, maps):
        """Transform `[batch, height, width, channels]` maps."""
        activated = nnx.relu(self.norm1(maps))
        residual = self.conv1(activated)
        residual = self.conv2(nnx.relu(self.norm2(residual)))
        return residual + (self.shortcut(activated) if self.shortcut else maps)


class ResidualCNN(nnx.Module):
    """Residual blocks, one stage a width, then mean and maximum pooling.

    Maximum pooling stands beside the mean because a lesion is local. Group
    normalisation instead of batch normalisation keeps examples independent of each
    other: the gradient of one image is the same in any batch.
    """

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = (32, 64),
        blocks: int = 1,
        rngs: nnx.Rngs,
    ):
        """Create the parameters.

        Args:
            inputs: Channels of the feature images.
            num_classes: Number of logits.
            widths: Channels of each stage; every stage after the first halves the
                resolution.
            blocks: Residual blocks a stage.
            rngs: Source of the initial weights.
        """
        self.stem = conv3x3(inputs, widths[0], rngs=rngs)
        stages = []
        for stage, width in enumerate(widths):
            before = widths[max(stage - 1, 0)]
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                channels = before if block == 0 else width
                stages.append(ResidualBlock(channels, width, stride=stride, rngs=rngs))
        self.blocks = nnx.List(stages)
        self.norm = group_norm(widths[-1])
        self.head = nnx.Linear(2 * widths[-1], num_classes, rngs=rngs)

    def __call__(self, features: FeatureImages) -> Logits:
        """Map feature images to logits `[batch, classes]`."""
        maps = self.stem(features)
        for block in self.blocks:
            maps = block(maps)
        maps = nnx.relu(self.norm(maps))
        pooled = [jnp.mean(maps, axis=(1, 2)), _max_pool(maps)]
        return self.head(jnp.concatenate(pooled, axis=-1))


def _max_pool(maps):
    """Maximum over height and width, differentiated by position, not by value.

    The gradient of `jnp.max` looks for elements equal to the maximum. XLA may compute
    the maps a second time for that, rounded differently: none is found, and it is NaN.
    """
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    position = jnp.argmax(jax.lax.stop_gradient(flat), axis=1, keepdims=True)
    return jnp.take_along_axis(flat, position, axis=1)[:, 0]


def group_norm(channels: int) -> GroupNorm:
    """Normalisation over groups of 8 channels, or fewer where 8 do not fit."""
    return GroupNorm(channels, next(n for n in (8, 4, 2, 1) if channels % n == 0))


def num_parameters(params: Params) -> int:
    """Count the numbers in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))

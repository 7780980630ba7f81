"""What a classifier is made of, before there are parameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.core import FrozenDict

from wbad_jax import wavelets
from wbad_jax.models.cnn import ResidualCNN
from wbad_jax.models.downsampling import check_downsampling
from wbad_jax.models.features import FeatureImages, feature_images, num_features
from wbad_jax.models.imported import check_network, import_network
from wbad_jax.models.lesion_map import LesionMapNetwork
from wbad_jax.models.precision import check_compute_dtype
from wbad_jax.models.resnet import ResNet
from wbad_jax.types import Images

MODELS = {"cnn": ResidualCNN, "lesion_map": LesionMapNetwork, "resnet": ResNet}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a classifier is made of; frozen, so that it can be closed over under jit.

    Attributes:
        name: Key of `MODELS`, or the import path "package.module:Class" of a network;
            see `wbad_jax.models.imported`.
        image_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        widths: Channels of each stage. This and the next four fields are of the
            networks in `MODELS` alone.
        blocks: Residual blocks a stage.
        places: Whether the network learns offsets for each place, see `places.py`.
        downsampling: How stages after the first halve the resolution: "stride", or
            "dwt" for the low-pass band after a convolution without stride.
        downsampling_wavelet: Wavelet of "dwt".
        options: Keyword arguments of a network named by its import path; hashable,
            lists becoming tuples.
        wavelet: Wavelet of the feature images.
        level: Levels of the feature images.
        mirrored: Whether to add the difference to the mirrored image.
        center: Pixel value mapped to 0 at the input.
        scale: Difference of pixel values mapped to 1 at the input.
        compute_dtype: What the network computes in, "float32" or "bfloat16"; see
            `precision.py`. All else is in float32. So are the logits; those of a
            network named by its import path have been rounded to "bfloat16".
        remat: Whether gradients compute residual blocks again in place of keeping what
            they computed; of the networks in `MODELS` alone.

    Examples:
        >>> from wbad_jax.models import ModelSettings
        >>> ModelSettings(name="resnet", image_shape=(64, 64, 1)).num_classes
        2
    """

    name: str = "cnn"
    image_shape: tuple[int, int, int] = (64, 64, 1)
    num_classes: int = 2
    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
    places: bool = False
    downsampling: str = "stride"
    downsampling_wavelet: str = "haar"
    options: Mapping[str, Any] = FrozenDict()
    wavelet: str = "haar"
    level: int = 2
    mirrored: bool = True
    center: float = 0.5
    scale: float = 0.1
    compute_dtype: str = "float32"
    remat: bool = False

    def __post_init__(self):
        object.__setattr__(self, "options", FrozenDict(_hashable(self.options)))
        own = self.name in MODELS
        if not own and ":" not in self.name:
            raise ValueError(
                f"model name must be one of {sorted(MODELS)} or an import path "
                f"'package.module:Class', got {self.name!r}."
            )
        if own and self.options:
            raise ValueError(
                "model options are for networks named by an import path; "
                f"{self.name!r} takes none, got {dict(self.options)}."
            )
        if not own and self.remat:
            raise ValueError(
                f"remat must be False for {self.name!r}, whose blocks are not known; "
                "flax.nnx.remat can stand inside it."
            )
        check_compute_dtype(self.compute_dtype)
        if self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {self.num_classes}.")
        if not self.widths or min(*self.widths, self.blocks) < 1:
            raise ValueError(
                "model widths and blocks must be at least 1, got "
                f"{self.widths} and {self.blocks}."
            )
        check_downsampling(self.downsampling, self.downsampling_wavelet)
        check_level("model.level", self.level, self.image_shape, self.wavelet)
        if not own:
            check_network(
                self.name, self._feature_shape, self.num_classes, self.options,
                self.compute_dtype,
            )  # fmt: skip

    def features_of(self, images: Images) -> FeatureImages:
        """What the network sees of images in [0, 1]."""
        return feature_images(
            (images - self.center) / self.scale,
            wavelet=self.wavelet,
            level=self.level,
            mirrored=self.mirrored,
        )

    @property
    def _feature_shape(self) -> tuple[int, int, int]:
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        _, rows, columns, channels = jax.eval_shape(self.features_of, images).shape
        return rows, columns, channels

    def build_network(self, rngs: nnx.Rngs) -> nnx.Module:
        """The network, with new parameters."""
        inputs = num_features(self.image_shape[-1], self.level, self.mirrored)
        if self.name not in MODELS:
            network: Any = import_network(self.name)
            return network(inputs, self.num_classes, rngs=rngs, **self.options)
        dwt = self.downsampling == "dwt"
        return MODELS[self.name](
            inputs,
            self.num_classes,
            widths=self.widths,
            blocks=self.blocks,
            downsampling_wavelet=self.downsampling_wavelet if dwt else None,
            remat=self.remat,
            grid=self._feature_shape[:2] if self.places else None,
            rngs=rngs,
        )


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _hashable(inner) for name, inner in value.items()}
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def check_level(
    field: str, level: int, image_shape: tuple[int, int, int], wavelet: str
) -> None:
    """Refuse a decomposition deeper than the image and the filter allow.

    Raises:
        ValueError: Naming `field`, the level asked for and the deepest one.

    Examples:
        >>> from wbad_jax.models import check_level
        >>> check_level("model.level", 2, (64, 64, 1), "haar")  # ValueError above 6
    """
    deepest = wavelets.dwt_max_level(min(image_shape[:2]), wavelet)
    if not 1 <= level <= deepest:
        height, width = image_shape[:2]
        raise ValueError(
            f"{field} must be between 1 and {deepest} for images of "
            f"{height} x {width} and wavelet {wavelet!r}, got {level}."
        )

"""The defended classifier: denoise, then features, then network, as one function.

The whole composition is what an attack sees. Leaving out the denoiser, or its gradient,
has to be asked for by name.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx

from wbad_jax import denoise, wavelets
from wbad_jax.models.cnn import ResidualCNN
from wbad_jax.models.features import feature_images, num_features
from wbad_jax.types import Images, Key, Logits, LogitsFn, Params

MODELS = {"cnn": ResidualCNN}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a classifier is made of; frozen, so that it can be closed over under jit.

    Attributes:
        name: Key of `MODELS`.
        image_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        widths: Channels of each stage of the network.
        blocks: Residual blocks a stage.
        wavelet: Wavelet of the feature images.
        level: Levels of the feature images.
        mirrored: Whether to add the difference to the mirrored image.
        center: Pixel value mapped to 0 at the input.
        scale: Difference of pixel values mapped to 1 at the input.
    """

    name: str = "cnn"
    image_shape: tuple[int, int, int] = (64, 64, 1)
    num_classes: int = 2
    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
    wavelet: str = "haar"
    level: int = 2
    mirrored: bool = True
    center: float = 0.5
    scale: float = 0.1

    def __post_init__(self):
        if self.name not in MODELS:
            raise ValueError(
                f"model name must be one of {sorted(MODELS)}, got {self.name!r}."
            )
        if self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {self.num_classes}.")
        check_level("model.level", self.level, self.image_shape, self.wavelet)


def check_level(
    field: str, level: int, image_shape: tuple[int, int, int], wavelet: str
) -> None:
    """Refuse a decomposition deeper than the image and the filter allow.

    Raises:
        ValueError: Naming `field`, the level asked for and the deepest one.
    """
    deepest = wavelets.dwt_max_level(min(image_shape[:2]), wavelet)
    if not 1 <= level <= deepest:
        height, width = image_shape[:2]
        raise ValueError(
            f"{field} must be between 1 and {deepest} for images of "
            f"{height} x {width} and wavelet {wavelet!r}, got {level}."
        )


class DefendedClassifier(nnx.Module):
    """Denoiser (or none), DWT feature images and network."""

    def __init__(
        self,
        settings: ModelSettings,
        denoiser: denoise.DenoiserSettings | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        height, width, channels = settings.image_shape
        self.settings = settings
        self.denoiser = (
            None
            if denoiser is None
            else denoise.Denoiser(denoiser, height * width, channels)
        )
        self.network = MODELS[settings.name](
            num_features(channels, settings.level, settings.mirrored),
            settings.num_classes,
            widths=settings.widths,
            blocks=settings.blocks,
            rngs=rngs,
        )

    def __call__(
        self, images: Images, *, backward: denoise.Backward = "exact"
    ) -> Logits:
        """Map images in [0, 1] to logits `[batch, classes]`."""
        if self.denoiser is not None:
            images = self.denoiser(images, backward=backward)
        settings = self.settings
        features = feature_images(
            (images - settings.center) / settings.scale,
            wavelet=settings.wavelet,
            level=settings.level,
            mirrored=settings.mirrored,
        )
        return self.network(features)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A `DefendedClassifier` used functionally: pure functions of a dict of parameters.

    Attributes:
        settings: Of network and features.
        denoiser: Of the denoiser; None for an undefended classifier.
    """

    settings: ModelSettings
    denoiser: denoise.DenoiserSettings | None = None

    def __post_init__(self):
        if self.denoiser is not None:
            shape, wavelet = self.settings.image_shape, self.denoiser.wavelet
            check_level("denoiser.level", self.denoiser.level, shape, wavelet)

    @functools.cached_property
    def _structure(self) -> nnx.GraphDef:
        def build():
            rngs = nnx.Rngs(params=jax.random.key(0))
            return DefendedClassifier(self.settings, self.denoiser, rngs=rngs)

        return nnx.split(nnx.eval_shape(build))[0]

    def init(self, key: Key) -> Params:
        """Draw initial parameters, a nested dict of arrays. Pure; jit it."""
        module = DefendedClassifier(
            self.settings, self.denoiser, rngs=nnx.Rngs(params=key)
        )
        return nnx.to_pure_dict(nnx.state(module, nnx.Param))

    def apply(
        self, params: Params, images: Images, *, backward: denoise.Backward = "exact"
    ) -> Logits:
        """Logits of images, pure in both arguments.

        Args:
            params: From `init` or training.
            images: `[batch, height, width, channels]` in [0, 1].
            backward: Backward pass of the denoiser, see `wavelet_denoise`.

        Returns:
            `[batch, classes]`.
        """
        # copy=True: modules built here never alias the caller's arrays.
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        return module(images, backward=backward)

    def logits_fn(
        self, params: Params, *, backward: denoise.Backward = "exact"
    ) -> LogitsFn:
        """`apply` with the parameters bound: what an attack is given."""
        return lambda images: self.apply(params, images, backward=backward)

    def thresholds(self, params: Params) -> jax.Array | None:
        """Learned thresholds as multiples of sigma, `[levels, 3]`, or None."""
        if self.denoiser is None or self.denoiser.threshold_rule != "learned":
            return None
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        return jnp.asarray(module.denoiser.thresholds())

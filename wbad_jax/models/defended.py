"""The defended classifier: denoise, then features, then network, as one function.

The whole composition is what an attack sees. Leaving out the denoiser, or its gradient,
has to be asked for by name.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.core import FrozenDict
from jaxtyping import Array, Float

from wbad_jax import denoise, wavelets
from wbad_jax.models.cnn import ResidualCNN
from wbad_jax.models.downsampling import check_downsampling
from wbad_jax.models.features import FeatureImages, feature_images, num_features
from wbad_jax.models.imported import check_network, import_network
from wbad_jax.models.lesion_map import LesionMapNetwork, LesionMaps
from wbad_jax.models.precision import apply_network, check_compute_dtype
from wbad_jax.models.resnet import ResNet
from wbad_jax.types import Images, Key, Logits, LogitsFn, Params

MODELS = {"cnn": ResidualCNN, "lesion_map": LesionMapNetwork, "resnet": ResNet}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a classifier is made of; frozen, so that it can be closed over under jit.

    Attributes:
        name: Key of `MODELS`, or the import path "package.module:Class" of a network;
            see `wbad_jax.models.imported`.
        image_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        widths: Channels of each stage. This and the next three fields are of the
            networks in `MODELS` alone.
        blocks: Residual blocks a stage.
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

    Example:
        >>> from wbad_jax.models import ModelSettings
        >>> ModelSettings(name="resnet", image_shape=(64, 64, 1)).num_classes
        2
    """

    name: str = "cnn"
    image_shape: tuple[int, int, int] = (64, 64, 1)
    num_classes: int = 2
    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
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
            images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
            _, *shape = jax.eval_shape(self.features_of, images).shape
            check_network(
                self.name, tuple(shape), self.num_classes, self.options,
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

    Example:
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


class DefendedClassifier(nnx.Module):
    """Denoiser (or none), DWT feature images and network.

    Example:
        >>> from flax import nnx
        >>> from wbad_jax.denoise import DenoiserSettings
        >>> from wbad_jax.models import DefendedClassifier, ModelSettings
        >>> settings = ModelSettings(image_shape=(16, 16, 1), widths=(4,))
        >>> rngs = nnx.Rngs(params=0)
        >>> model = DefendedClassifier(settings, DenoiserSettings(), rngs=rngs)
    """

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
        self.network: Any = settings.build_network(rngs)

    def __call__(
        self, images: Images, *, backward: denoise.Backward = "exact"
    ) -> Logits:
        """Map images in [0, 1] to logits `[batch, classes]`."""
        return self._apply(images, backward, "__call__")

    def penultimate(
        self, images: Images, *, backward: denoise.Backward = "exact"
    ) -> Float[Array, "batch features"]:
        """Map images to what the network's last, linear layer sees."""
        return self._apply(images, backward, "penultimate")

    def lesion_map(self, images: Images) -> LesionMaps:
        """Map images to what the network takes for the lesion."""
        return self._apply(images, "exact", "lesion_map")

    def _apply(self, images: Images, backward: denoise.Backward, method: str):
        if self.denoiser is not None:
            images = self.denoiser(images, backward=backward)
        features = self.settings.features_of(images)
        dtype = self.settings.compute_dtype
        return apply_network(self.network, features, dtype, method)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A `DefendedClassifier` used functionally: pure functions of a dict of parameters.

    Attributes:
        settings: Of network and features.
        denoiser: Of the denoiser; None for an undefended classifier.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.models import Classifier, ModelSettings
        >>> classifier = Classifier(ModelSettings(image_shape=(16, 16, 1), widths=(4,)))
        >>> params = jax.jit(classifier.init)(jax.random.key(0))
        >>> classifier.logits_fn(params)(jnp.ones((2, 16, 16, 1))).shape
        (2, 2)
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

    def undenoised_logits_fn(self, params: Params) -> LogitsFn:
        """Logits of the network alone, the denoiser left out."""
        bare = dataclasses.replace(self, denoiser=None)
        return bare.logits_fn({"network": params["network"]})

    @property
    def has_features(self) -> bool:
        """Whether the network tells its penultimate features, see `features_fn`."""
        name = self.settings.name
        network: Any = MODELS.get(name) or import_network(name)
        return hasattr(network, "penultimate")

    def features_fn(
        self, params: Params, *, backward: denoise.Backward = "exact"
    ) -> Callable[[Images], Float[Array, "batch features"]]:
        """From images to what the network's last, linear layer sees of them.

        A network named by its import path needs a method `penultimate` that maps
        feature images to `[batch, features]`.

        Args:
            params: From `init` or training.
            backward: Backward pass of the denoiser, see `wavelet_denoise`.

        Raises:
            ValueError: If the network has no such method.
        """
        if not self.has_features:
            raise ValueError(
                f"model name {self.settings.name!r} needs a method 'penultimate' for "
                "its features."
            )

        def features(images: Images):
            module = nnx.merge(self._structure, nnx.State(params), copy=True)
            return module.penultimate(images, backward=backward)

        return features

    @property
    def has_lesion_map(self) -> bool:
        """Whether the network predicts the lesion, see `lesion_map`."""
        name = self.settings.name
        network: Any = MODELS.get(name) or import_network(name)
        return hasattr(network, "lesion_map")

    def lesion_map(self, params: Params, images: Images) -> tuple[Logits, LesionMaps]:
        """Logits, and what the network takes for the lesion; see `LesionMapNetwork`.

        Args:
            params: From `init` or training.
            images: `[batch, height, width, channels]` in [0, 1].

        Returns:
            `[batch, classes]`, and `[batch, rows, columns]` in multiples of
            `settings.scale`.

        Raises:
            ValueError: If the network has no method `lesion_map`.
        """
        if not self.has_lesion_map:
            raise ValueError(
                f"model name {self.settings.name!r} needs a method 'lesion_map'."
            )
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        maps = module.lesion_map(images)
        return module.network.logits_of(maps), maps

    def denoise(self, params: Params, images: Images) -> Images:
        """What the denoiser makes of images; the same images without one.

        Args:
            params: From `init` or training.
            images: `[batch, height, width, channels]` in [0, 1].
        """
        if self.denoiser is None:
            return images
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        return module.denoiser(images)

    def thresholds(
        self, params: Params, images: Images | None = None
    ) -> jax.Array | None:
        """Trained thresholds as multiples of sigma, coarsest level first.

        Args:
            params: From `init` or training.
            images: `[batch, height, width, channels]`; rule "predicted" needs them.

        Returns:
            `[levels, 3]` for rule "learned", fewer or more with another `sharing`;
            `[batch, levels, 3, channels]` for "predicted"; None for the other rules.
        """
        rule = None if self.denoiser is None else self.denoiser.threshold_rule
        if rule not in denoise.TRAINED_RULES:
            return None
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        return module.denoiser.thresholds(images)

    def pixel_thresholds(self, params: Params, images: Images) -> list[list[jax.Array]]:
        """The denoiser's thresholds of detail coefficients, in pixel units.

        Args:
            params: From `init` or training.
            images: `[batch, height, width, channels]`.

        Returns:
            By level (coarsest first) and orientation, broadcastable to the subbands.

        Raises:
            ValueError: If there is no denoiser.
        """
        if self.denoiser is None:
            raise ValueError("pixel_thresholds needs a classifier with a denoiser.")
        module = nnx.merge(self._structure, nnx.State(params), copy=True)
        return module.denoiser.pixel_thresholds(images)

"""The defended classifier: denoise, then features, then network, as one function.

The whole composition is what an attack sees. Leaving out the denoiser, or its gradient,
has to be asked for by name.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax import denoise
from wbad_jax.models.imported import import_network
from wbad_jax.models.lesion_map import LesionMaps
from wbad_jax.models.model_settings import MODELS, ModelSettings, check_level
from wbad_jax.models.precision import apply_network
from wbad_jax.types import Images, Key, Logits, LogitsFn, Params


class DefendedClassifier(nnx.Module):
    """Denoiser (or none), DWT feature images and network.

    Examples:
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

    Examples:
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

    @property
    def _network_class(self) -> Any:
        name = self.settings.name
        return MODELS.get(name) or import_network(name)

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
        return hasattr(self._network_class, "penultimate")

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
        return hasattr(self._network_class, "lesion_map")

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

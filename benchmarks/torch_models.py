"""Twins in PyTorch of the classifiers of this package, with the same weights.

Written as a user of PyTorch would, from its own fast layers, and with the same logits
but for rounding; the denoiser is built on ptwt. Images are `[batch, channels, height,
width]`.
"""

import numpy as np
import ptwt
import torch
from torch.nn import functional

from wbad_jax import denoise, models
from wbad_jax.models.features import feature_images
from wbad_jax.types import Params

_GROUP_SIZE, _NORM_EPSILON = 8, 1e-6


class TorchClassifier(torch.nn.Module):
    """Denoiser (or none), feature images and residual network.

    Parameters are frozen, so that only gradients of the images are computed.
    """

    def __init__(self, classifier: models.Classifier, params: Params):
        super().__init__()
        self.origin = classifier, params
        self.settings = classifier.settings
        self.denoiser = classifier.denoiser
        network = params["network"]
        kernel = _feature_kernel(classifier.settings)
        self.feature_kernel = torch.nn.Parameter(kernel, requires_grad=False)
        self.stem = _convolution(network["stem"], stride=1)
        blocks = network["blocks"].items()
        self.blocks = torch.nn.Sequential(*(_Block(b) for _, b in sorted(blocks)))
        self.norm = _group_norm(network["norm"])
        self.head = _linear(network["head"])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]` of images in [0, 1]."""
        if self.denoiser is not None:
            images = soft_denoise(images, self.denoiser)
        images = (images - self.settings.center) / self.settings.scale
        if self.settings.mirrored:
            images = torch.cat([images, images - images.flip(-1)], dim=1)
        step = self.feature_kernel.shape[-1]
        maps = self.stem(functional.conv2d(images, self.feature_kernel, stride=step))
        maps = torch.relu(self.norm(self.blocks(maps)))
        # By position, as in JAX: torch.amax would share the gradient among equals.
        largest = maps.flatten(2).max(dim=2).values
        return self.head(torch.cat([maps.mean(dim=(2, 3)), largest], dim=1))


class _Block(torch.nn.Module):
    """A residual block; its stride is 2 where it widens, as in `ResidualCNN`."""

    def __init__(self, params: Params):
        super().__init__()
        inputs, outputs = np.shape(params["conv1"]["kernel"])[2:]
        stride = 1 if inputs == outputs else 2
        self.norm1, self.norm2 = (_group_norm(params[f"norm{n}"]) for n in (1, 2))
        self.conv1 = _convolution(params["conv1"], stride)
        self.conv2 = _convolution(params["conv2"], stride=1)
        self.shortcut = (
            _convolution(params["shortcut"], stride) if "shortcut" in params else None
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        activated = torch.relu(self.norm1(maps))
        residual = self.conv2(torch.relu(self.norm2(self.conv1(activated))))
        shortcut = maps if self.shortcut is None else self.shortcut(activated)
        return residual + shortcut


class _SamePadding(torch.nn.Module):
    """Zeros for a stride of 2 as XLA's "SAME" puts them: more of them at the end."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        pads = [(size % 2, 1) for size in reversed(maps.shape[2:])]
        return functional.pad(maps, [number for pad in pads for number in pad])


def soft_denoise(
    images: torch.Tensor, settings: denoise.DenoiserSettings
) -> torch.Tensor:
    """`denoise.wavelet_denoise` with a fixed soft threshold, on ptwt."""
    wavelet, mode, level = settings.wavelet, settings.mode, settings.level
    approx, *details = ptwt.wavedec2(images, wavelet, mode=mode, level=level)
    thresholds = denoise.settings.fixed_thresholds(settings)[:, :, 0]
    shrunk = [
        type(bands)(*map(_soft, bands, row))
        for bands, row in zip(details, thresholds.tolist(), strict=True)
    ]
    height, width = images.shape[-2:]
    return ptwt.waverec2((approx, *shrunk), wavelet)[..., :height, :width]


def _soft(coefficients: torch.Tensor, threshold: float) -> torch.Tensor:
    return functional.softshrink(coefficients, threshold)


def _feature_kernel(settings: models.ModelSettings) -> torch.Tensor:
    """Haar feature images as one convolution of blocks that do not overlap."""
    if settings.wavelet != "haar":
        raise ValueError(f"only haar features have a twin, got {settings.wavelet!r}.")
    side = 2**settings.level
    channels = settings.image_shape[2] * (2 if settings.mirrored else 1)
    impulses = np.eye(side * side * channels, dtype=np.float32)
    impulses = impulses.reshape(-1, side, side, channels)
    features = feature_images(impulses, level=settings.level, mirrored=False)
    columns = np.asarray(features).reshape(side, side, channels, -1)
    return _tensor(columns.transpose(3, 2, 0, 1))


def _convolution(params: Params, stride: int) -> torch.nn.Module:
    kernel = _tensor(np.transpose(params["kernel"], (3, 2, 0, 1)))
    outputs, inputs = kernel.shape[:2]
    padding = 1 if stride == 1 else 0
    layer = torch.nn.Conv2d(inputs, outputs, 3, stride, padding, bias=False)
    layer = _frozen(layer, weight=kernel)
    return layer if stride == 1 else torch.nn.Sequential(_SamePadding(), layer)


def _group_norm(params: Params) -> torch.nn.Module:
    channels = len(params["scale"])
    size = next(n for n in (_GROUP_SIZE, 4, 2, 1) if channels % n == 0)
    layer = torch.nn.GroupNorm(channels // size, channels, _NORM_EPSILON)
    scale, bias = _tensor(params["scale"]), _tensor(params["bias"])
    return _frozen(layer, weight=scale, bias=bias)


def _linear(params: Params) -> torch.nn.Module:
    weight, bias = _tensor(np.transpose(params["kernel"])), _tensor(params["bias"])
    return _frozen(torch.nn.Linear(*reversed(weight.shape)), weight=weight, bias=bias)


def _frozen(layer: torch.nn.Module, **values: torch.Tensor) -> torch.nn.Module:
    layer.load_state_dict(values)
    return layer.requires_grad_(False)


def _tensor(array) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """`[batch, height, width, channels]` to `[batch, channels, height, width]`."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def as_array(images: torch.Tensor | np.ndarray) -> np.ndarray:
    """The way back."""
    if isinstance(images, torch.Tensor):
        images = images.detach().numpy()
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))

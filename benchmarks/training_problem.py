"""What is trained in the comparison of training steps, the same in all libraries."""

import dataclasses

from benchmarks.attack_problem import DENOISER, draw_images
from wbad_jax import models
from wbad_jax.types import Batch

# Without and behind the denoiser of `attack_problem`, db4 on two levels.
MODELS = ("bare", "denoised")
# "standard": clean images. "adversarial": those of PGD, made in the step.
OBJECTIVES = ("standard", "adversarial")


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """One training step.

    Attributes:
        model: One of `MODELS`.
        objective: One of `OBJECTIVES`.
        size: Height and width of the images.
        batch: Images.
        widths: Channels of the stages of the network.
        level: Of the feature images: the network sees `size / 2**level` pixels a side.
        attack_steps: Gradients of PGD, from a random start; its last point is used.
        epsilon: Linf radius.
        learning_rate: Of AdamW.
        weight_decay: Likewise, for weights of two and more axes.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the averaged parameters.
    """

    model: str
    objective: str
    size: int = 64
    batch: int = 64
    widths: tuple[int, ...] = (32, 64)
    level: int = 1
    attack_steps: int = 10
    epsilon: float = 2 / 255
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    ema_decay: float = 0.99

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))

    @property
    def step_size(self) -> float:
        """Of PGD, in parts of the radius."""
        return 2.5 / self.attack_steps

    @property
    def classifier(self) -> models.Classifier:
        """Network and denoiser."""
        settings = models.ModelSettings(
            image_shape=(self.size, self.size, 1), widths=self.widths, level=self.level
        )
        return models.Classifier(settings, DENOISER if self.model != "bare" else None)

    def draw_batch(self) -> Batch:
        """Images `[batch, size, size, 1]`, half of them with a warm spot."""
        images, labels = draw_images(self.batch, self.size, seed=1)
        weights = (labels == labels).astype("float32")
        return Batch._make((images, labels, weights))

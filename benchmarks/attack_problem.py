"""A cheap labelled problem and three trained classifiers, for comparisons of attacks.

The images look like thermograms: a smooth field of warmth, alike on both sides but for
some asymmetry, and camera noise; half of them have a warm spot at a random place, of
random size and strength. Three residual CNNs learn to find it within a minute or two:
"standard"; "adversarial", trained on PGD images; and "denoised", behind a db4 wavelet
denoiser with a fixed soft threshold, which another library can repeat exactly.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage

from wbad_jax import attacks, denoise, models
from wbad_jax.types import Images, Labels, LogitsFn, Params

# Where attacks succeed on some images and fail on others.
EPSILONS = {"standard": 1 / 255, "adversarial": 4 / 255, "denoised": 2 / 255}
EPSILONS_L2 = {"standard": 0.05, "adversarial": 0.4, "denoised": 0.12}
MODELS = tuple(EPSILONS)
DENOISER = denoise.DenoiserSettings(
    wavelet="db4", level=2, threshold_rule="fixed", threshold=0.04
)
_TRAIN_SEED, _TEST_SEED = 1, 2
_TRAINING_IMAGES, _TRIAL_IMAGES, _BATCH, _LEARNING_RATE = 4096, 1000, 64, 2e-3
_TRAINING_EPSILON = 3 / 255


@dataclasses.dataclass(frozen=True)
class ProblemSettings:
    """Size of a problem.

    Attributes:
        size: Height and width of the images.
        widths: Channels of the stages of the networks.
        num_images: Test images.
        num_steps: Training steps of each network.
    """

    size: int = 32
    widths: tuple[int, ...] = (16, 32)
    num_images: int = 1000
    num_steps: int = 400

    @property
    def name(self) -> str:
        """Tells trained networks apart, as a file name."""
        widths = "-".join(map(str, self.widths))
        return f"networks_{self.size}_{widths}_{self.num_steps}"

    def classifier(self, model: str) -> models.Classifier:
        """The classifier called "standard", "adversarial" or "denoised"."""
        settings = models.ModelSettings(
            image_shape=(self.size, self.size, 1), widths=self.widths
        )
        return models.Classifier(settings, DENOISER if model == "denoised" else None)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Test images and trained parameters, as NumPy arrays.

    Attributes:
        settings: What it was made from.
        images: `[num_images, size, size, 1]` in [0, 1].
        labels: `[num_images]`, 1 with a warm spot.
        params: Of each model.
    """

    settings: ProblemSettings
    images: np.ndarray
    labels: np.ndarray
    params: Mapping[str, Params]

    def logits_fn(self, model: str) -> LogitsFn:
        """From images to logits, with the parameters as constants."""
        return self.settings.classifier(model).logits_fn(self.params[model])


def draw_images(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `[count, size, size, 1]` in [0, 1] and labels, 1 with a warm spot."""
    rng = np.random.default_rng(seed)
    unit = size / 32  # of lengths, so that all sizes show the same scene
    fields = rng.normal(size=(2, count, size, size))
    fields = ndimage.gaussian_filter(fields, (0, 0, 5 * unit, 5 * unit), mode="wrap")
    both, asymmetry = fields / fields.std()
    warmth = 0.5 + 0.08 * (both + both[:, :, ::-1]) / 2**0.5 + 0.02 * asymmetry
    labels = rng.permutation(np.arange(count) % 2).astype(np.int32)
    rows, columns = rng.uniform(0.2 * size, 0.8 * size, (2, count, 1, 1))
    radius = rng.uniform(1.5 * unit, 3 * unit, (count, 1, 1))
    strength = labels[:, None, None] * rng.uniform(0.12, 0.3, (count, 1, 1))
    grid = np.arange(size)
    squared = (grid[:, None] - rows) ** 2 + (grid - columns) ** 2
    spots = strength * np.exp(-squared / (2 * radius**2))
    noise = 0.01 * rng.normal(size=warmth.shape)
    images = np.clip(warmth + spots + noise, 0, 1).astype(np.float32)
    return images[..., None], labels


def train(
    classifier: models.Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    num_steps: int,
    start: Params | None = None,
    epsilon: float = 0.0,
) -> Params:
    """Trains with Adam on cross-entropy, on PGD images if `epsilon` is positive.

    From scratch on PGD images the network would stay at chance: it goes on from `start`
    while the radius grows.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, num_steps))
    attack = attacks.PGD(num_steps=4, step_size=0.4, start="random")

    def loss(params: Params, images: Images, labels: Labels):
        logits = classifier.apply(params, images)
        return jnp.mean(attacks.cross_entropy(logits, labels))

    @jax.jit
    def step(params, moments, index, images, labels):
        if epsilon > 0:
            radius = epsilon * jnp.minimum(2 * index / num_steps, 1)
            logits_fn, key = classifier.logits_fn(params), jax.random.key(index)
            result = attack(logits_fn, key, images, labels, epsilon=radius)
            images = result.adversarial
        gradient = jax.grad(loss)(params, images, labels)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), moments

    params = start or jax.jit(classifier.init)(jax.random.key(0))
    moments = optimizer.init(params)
    rng = np.random.default_rng(0)
    for index in range(num_steps):
        rows = rng.choice(len(images), _BATCH, replace=False)
        params, moments = step(params, moments, index, images[rows], labels[rows])
    return params


def train_networks(settings: ProblemSettings, folder: pathlib.Path) -> pathlib.Path:
    """Trains, or finds what was trained before; the file with all parameters."""
    path = folder / f"{settings.name}.npz"
    if path.exists():
        return path
    fit, fit_labels = draw_images(_TRAINING_IMAGES, settings.size, _TRAIN_SEED)
    images, labels = draw_images(_TRIAL_IMAGES, settings.size, _TEST_SEED)
    arrays: dict[str, np.ndarray] = {}
    trained: dict[str, Params] = {}
    for model in MODELS:
        classifier = settings.classifier(model)
        special = {"start": trained.get("standard"), "epsilon": _TRAINING_EPSILON}
        params = trained[model] = train(
            classifier, fit, fit_labels, num_steps=settings.num_steps,
            **(special if model == "adversarial" else {}),
        )  # fmt: skip
        logits = jax.jit(classifier.apply)(params, images)
        correct = np.mean(np.argmax(logits, axis=-1) == labels)
        print(f"{model}: {correct:.1%} of new images right", flush=True)
        for names, leaf in flax.traverse_util.flatten_dict(params).items():
            arrays["/".join(map(str, (model, *names)))] = np.asarray(leaf)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def load_problem(path: pathlib.Path | str, settings: ProblemSettings) -> Problem:
    """The test images, and the parameters that `train_networks` saved."""
    flat: dict[str, dict[tuple[Any, ...], np.ndarray]] = {name: {} for name in MODELS}
    with np.load(path) as arrays:
        for name, array in arrays.items():
            model, *names = name.split("/")
            parts = tuple(int(s) if s.isdigit() else s for s in names)
            flat[model][parts] = array
    images, labels = draw_images(settings.num_images, settings.size, _TEST_SEED)
    params = {
        model: flax.traverse_util.unflatten_dict(leaves)
        for model, leaves in flat.items()
    }
    return Problem(settings, images, labels, params)

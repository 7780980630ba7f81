"""Logits under attack for whole data sets, batch by batch.

Two protocols. *Adaptive*: white box through the whole defended pipeline, success judged
on it. *Graybox*: adversarial images are made on surrogate models at full epsilon and
fed, the same bytes, to the defended system; no attack knows of the defence.
"""

import dataclasses
import functools
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from tqdm import tqdm

from wbad_jax import devices, processes
from wbad_jax.attacks import Attack, Norm
from wbad_jax.types import Batch, Key, LogitsFn, Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples to evaluate, in host memory.

    Attributes:
        images: `[n, height, width, channels]` in [0, 1], float32.
        labels: `[n]`, int32.
        example_ids: `[n]` strings.
        patient_ids: `[n]` integers.
        twins: The same patients in the other state, same shape as `images`; None where
            they are not known.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Examples
        >>> examples = Examples(
        ...     images=np.zeros((3, 4, 4, 1), np.float32), labels=np.array([0, 1, 1]),
        ...     example_ids=np.array(["a", "b", "c"]), patient_ids=np.arange(3),
        ... )
        >>> [batch.images.shape for batch in examples.batches(2)]
        [(2, 4, 4, 1), (2, 4, 4, 1)]
    """

    images: np.ndarray
    labels: np.ndarray
    example_ids: np.ndarray
    patient_ids: np.ndarray
    twins: np.ndarray | None = None

    def subset(self, rows: np.ndarray | slice) -> "Examples":
        """Some of the examples, such as those at `rows`."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        there = {name: a[rows] for name, a in arrays.items() if a is not None}
        return dataclasses.replace(self, **there)

    def batches(self, size: int, images: np.ndarray | None = None):
        """Yield `Batch`es of one shape, in host memory; the last is padded.

        Padding repeats examples.

        Args:
            size: Examples a batch.
            images: Images to put in place of `self.images`.
        """
        images = self.images if images is None else images
        for rows, weights in _batches_of(np.arange(len(self.labels)), size):
            yield Batch._make((images[rows], self.labels[rows], weights))

    def keys(self, key: Key) -> Key:
        """One key an example, `[n]`: `fold_in(key, hash of its id)`.

        The draws of an example then depend neither on its neighbours nor on the size
        of the batch, and are the same for every classifier.
        """
        hashes = [zlib.crc32(str(name).encode()) for name in self.example_ids]
        return jax.vmap(functools.partial(jax.random.fold_in, key))(
            jnp.asarray(hashes, jnp.uint32)
        )


def _batches_of(rows: np.ndarray, size: int):
    """Yield the rows of each batch and their weights, 0 for padding."""
    for start in range(0, len(rows), size):
        places = np.arange(start, start + size)
        # Wrapped around: padding takes part in no result, but must be valid input.
        yield rows[places % len(rows)], (places < len(rows)).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack made of a set of examples.

    Attributes:
        images: Adversarial images, `[n, height, width, channels]`.
        logits: Logits of the attacked model there, `[n, classes]`.
        distance: Norm of the perturbations, `[n]`.
        seconds: Wall time.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Attacked
        >>> found = Attacked(
        ...     images=np.zeros((1, 4, 4, 1)), logits=np.array([[0.0, 1.0]]),
        ...     distance=np.array([0.01]), seconds=0.5,
        ... )
        >>> found.logits.argmax(-1)
        array([1])
    """

    images: np.ndarray
    logits: np.ndarray
    distance: np.ndarray
    seconds: float


@dataclasses.dataclass(frozen=True)
class AttackOfParameters:
    """An attack that needs the classifier's parameters, such as learned thresholds.

    Attributes:
        make: From parameters to the attack.
        norm: Of the attack.

    Examples:
        >>> from wbad_jax.attacks import PGD, ThresholdCrossing
        >>> from wbad_jax.evaluation import AttackOfParameters
        >>> attack = AttackOfParameters(
        ...     lambda params: ThresholdCrossing(thresholds=params["threshold"]), "linf"
        ... )
        >>> attack.norm
        'linf'
    """

    make: Callable[[Params], Attack]
    norm: Norm


# From the number of a batch and what computes its results to the results.
Recall = Callable[[int, Callable[[], tuple[np.ndarray, ...]]], tuple[np.ndarray, ...]]


def _compute(index: int, make: Callable[[], tuple[np.ndarray, ...]]):
    del index
    return make()


class Evaluator:
    """Compiled evaluation of one classifier architecture.

    Holds one compiled program per attack; parameters, batch, key and epsilon are
    arguments, so other weights and budgets do not recompile. Several processes make the
    same calls, and all get all results.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FGSM
        >>> from wbad_jax.evaluation import Evaluator, Examples
        >>> examples = Examples(
        ...     images=np.full((2, 4, 4, 1), 0.05, np.float32), labels=np.array([0, 1]),
        ...     example_ids=np.array(["a", "b"]), patient_ids=np.arange(2),
        ... )
        >>> evaluator = Evaluator(lambda w: lambda x: x.mean((1, 2)) @ w, batch_size=2)
        >>> weights, key = jnp.array([[-1.0, 1.0]]), jax.random.key(0)
        >>> found = evaluator.attack(FGSM(), weights, examples, key, epsilon=0.1)
        >>> found.distance.round(3)
        array([0.1 , 0.05], dtype=float32)
    """

    def __init__(
        self,
        logits_fn_of: Callable[[Params], LogitsFn],
        *,
        batch_size: int,
        surrogates_of: Mapping[str, Callable[[Params], LogitsFn]] | None = None,
        mesh: Mesh | None = None,
        before_batch: Callable[[], None] = lambda: None,
    ):
        """Prepare an evaluator.

        Args:
            logits_fn_of: From parameters to the function under attack.
            batch_size: Examples a batch, rounded up to a multiple of the devices.
            surrogates_of: Further functions of the same parameters whose gradients
                adaptive attacks may use, such as other backward modes of the denoiser.
            mesh: Devices to share a batch among, from `devices.data_mesh`; all of them
                if None.
            before_batch: Called before each batch; may raise to end early.
        """
        self._before_batch = before_batch
        self._mesh = mesh or devices.data_mesh()
        self._logits_fn_of = logits_fn_of
        self._surrogates_of = surrogates_of or {}
        self._batch_size = devices.round_up(batch_size, self._mesh)
        self._forward = jax.jit(
            lambda params, images: self._logits_fn_of(params)(images)
        )
        self._attack_steps: dict[tuple, Callable] = {}

    def logits(
        self, params: Params, examples: Examples, images: np.ndarray | None = None
    ) -> Float[np.ndarray, "n classes"]:
        """Logits of the examples, or of `images` in their place."""
        params = devices.replicate(params, self._mesh)
        parts = []
        for batch in examples.batches(self._batch_size, images):
            self._before_batch()
            on_devices = devices.split(batch.images, self._mesh)
            parts.append(devices.gather(self._forward(params, on_devices)))
        return np.concatenate(parts)[: len(examples.labels)]

    def attack(
        self,
        attack: Attack | AttackOfParameters,
        params: Params,
        examples: Examples,
        key: Key,
        epsilon: float,
        *,
        rows: np.ndarray | None = None,
        data: Mapping[str, np.ndarray] | None = None,
        surrogates: Sequence[str] | None = None,
        recall: Recall = _compute,
        description: str = "attack",
    ) -> Attacked:
        """Attack all examples, or some.

        Random draws follow from `key` and the example's id alone, see `Examples.keys`.

        Args:
            attack: Any attack.
            params: Parameters of the classifier.
            examples: The set.
            key: Base key.
            epsilon: Radius in pixel units, in the attack's norm.
            rows: Positions of the examples to attack, at least one; all if None. They
                are packed into batches of the one shape.
            data: What else the attack is called with, `[n, ...]` each: "twins", say.
            surrogates: Names of those whose gradients it follows; all if None.
            recall: Called for each batch; may return what an earlier call has computed.
            description: Label of the progress bar.

        Returns:
            What became of `rows`, in that order.
        """
        rows = np.arange(len(examples.labels)) if rows is None else rows
        data = dict(data or {})
        names = tuple(self._surrogates_of if surrogates is None else surrogates)
        step = self._step(attack, names)
        scale = self._margin_scale(params, examples)
        params = devices.replicate(params, self._mesh)
        keys = examples.keys(key)
        batches = list(_batches_of(rows, self._batch_size))
        bar = tqdm(enumerate(batches), total=len(batches), desc=description,
                   leave=False, disable=not processes.is_first())  # fmt: skip

        def compute(chosen: np.ndarray, weights: np.ndarray):
            start = time.perf_counter()
            batch = Batch._make(
                (examples.images[chosen], examples.labels[chosen], weights)
            )
            more = {name: values[chosen] for name, values in data.items()}
            inputs = devices.split((batch, keys[chosen], more), self._mesh)
            outputs = devices.gather(step(params, *inputs, epsilon, scale))
            return (*outputs, np.asarray(time.perf_counter() - start))

        results = []
        for index, (chosen, weights) in bar:
            self._before_batch()
            results.append(recall(index, functools.partial(compute, chosen, weights)))
        *parts, seconds = zip(*results, strict=True)
        images, logits, distance = (np.concatenate(p)[: len(rows)] for p in parts)
        return Attacked(
            images=images, logits=logits, distance=distance, seconds=float(sum(seconds))
        )

    def _step(self, attack: Attack | AttackOfParameters, surrogates: tuple[str, ...]):
        """The compiled program of one attack, which follows some surrogates."""

        def step(params: Params, batch: Batch, keys: Key, data, epsilon, scale):
            def scaled(logits_fn: LogitsFn) -> LogitsFn:
                return lambda images: logits_fn(images) / scale

            logits_fn = scaled(self._logits_fn_of(params))
            models = {
                name: scaled(self._surrogates_of[name](params)) for name in surrogates
            }
            call = (
                attack.make(params)
                if isinstance(attack, AttackOfParameters)
                else attack
            )
            result = call(
                logits_fn,
                keys,
                batch.images,
                batch.labels,
                epsilon=epsilon,
                surrogates=models or None,
                **data,
            )
            logits = logits_fn(result.adversarial) * scale
            return result.adversarial, logits, result.distance

        return self._attack_steps.setdefault((attack, surrogates), jax.jit(step))

    def _margin_scale(self, params: Params, examples: Examples) -> float:
        """Median distance of the two largest logits.

        Attacks see logits in this unit: decisions do not change, and confidences and
        trade-off constants of Carlini-Wagner mean the same for every classifier.
        """
        top = np.sort(self.logits(params, examples), axis=-1)[:, -2:]
        scale = float(np.median(top[:, 1] - top[:, 0]))
        return scale if scale > 0 else 1.0

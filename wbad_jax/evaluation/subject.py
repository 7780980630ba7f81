"""A trained classifier as the checks see it: functions, parameters, examples."""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax import devices
from wbad_jax.attacks import Attack
from wbad_jax.evaluation.robustness import Attacked, Evaluator, Examples
from wbad_jax.types import Images, Key, LogitsFn, Params

LogitsFnOf = Callable[[Params], LogitsFn]
FeaturesFnOf = Callable[[Params], Callable[[Images], jax.Array]]
ONE_BATCH = 64


def _go_on() -> None:
    """Ends nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """How much the checks compute.

    Attributes:
        num_examples: Images that attacks and gradients are checked on.
        noise_examples: Images that are searched by random noise, and of checks that
            take as long.
        noise_samples: Random points tried per image; 10,000 or more by Carlini et al.
            (2019).
        square_queries: Queries of the black-box attack.
        path_steps: Steps of the ascents whose every point is looked at.
        inner_points: Most random points per image of the binarization test.
        tolerance: Rate of contradicting images that is taken for chance.

    Examples:
        >>> from wbad_jax.evaluation import CheckSettings
        >>> CheckSettings(num_examples=16).tolerance
        0.01
    """

    num_examples: int = 64
    noise_examples: int = 32
    noise_samples: int = 10_000
    square_queries: int = 1000
    path_steps: int = 20
    inner_points: int = 999
    tolerance: float = 0.01

    def __post_init__(self):
        for field in dataclasses.fields(self):
            least = 0 if field.name == "tolerance" else 1
            if getattr(self, field.name) < least:
                raise ValueError(
                    f"{field.name} must be at least {least}, got "
                    f"{getattr(self, field.name)}."
                )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One arm, and the attack that its headline rests on.

    Attributes:
        arm: Name.
        logits_fn_of: From parameters to the whole classifier.
        params: Its parameters.
        examples: What it is evaluated on.
        attack_name: Name of `attack`.
        attack: Iterative attack of the evaluation.
        epsilon: Its budget.
        key: Base key of the evaluation, so that the attack gives the same images again.
        withstood: Whether an example is right under all adaptive attacks, `[n]`.
        attacked_logits: What the evaluation got from `attack`, `[n, classes]`; None if
            it did not run it.
        surrogates_of: Other backward passes of the same classifier, by name.
        features_of: From parameters to penultimate features, by backward pass, "exact"
            first; empty if the network has none.
        ablations_of: The classifier without a part of its defence, by name.
        dead_but_reachable: Share of detail coefficients that the denoiser removes, and
            the budget could revive; None without a denoiser.
        before_batch: Called before each batch; may raise to end early.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.evaluation import Examples, Subject
        >>> examples = Examples(
        ...     images=np.full((2, 4, 4, 1), 0.5, np.float32), labels=np.array([0, 1]),
        ...     example_ids=np.array(["a", "b"]), patient_ids=np.arange(2),
        ... )
        >>> subject = Subject(
        ...     arm="wbad", logits_fn_of=lambda w: lambda x: x.mean((1, 2)) @ w,
        ...     params=jnp.array([[-1.0, 1.0]]), examples=examples, attack_name="pgd",
        ...     attack=PGD(num_steps=4), epsilon=0.1, key=jax.random.key(0),
        ...     withstood=np.array([True, False]),
        ... )
        >>> len(subject.first(1).examples.labels)
        1
    """

    arm: str
    logits_fn_of: LogitsFnOf
    params: Params
    examples: Examples
    attack_name: str
    attack: Attack
    epsilon: float
    key: Key
    withstood: np.ndarray
    attacked_logits: np.ndarray | None = None
    surrogates_of: Mapping[str, LogitsFnOf] = dataclasses.field(default_factory=dict)
    features_of: Mapping[str, FeaturesFnOf] = dataclasses.field(default_factory=dict)
    ablations_of: Mapping[str, LogitsFnOf] = dataclasses.field(default_factory=dict)
    dead_but_reachable: float | None = None
    before_batch: Callable[[], None] = _go_on

    def take(self, rows: np.ndarray) -> "Subject":
        """The same with some of the examples."""
        given = {
            field.name: getattr(self.examples, field.name)
            for field in dataclasses.fields(self.examples)
        }
        examples = dataclasses.replace(
            self.examples,
            **{n: None if v is None else v[rows] for n, v in given.items()},
        )
        logits = self.attacked_logits
        return dataclasses.replace(
            self,
            examples=examples,
            withstood=self.withstood[rows],
            attacked_logits=None if logits is None else logits[rows],
        )

    def first(self, count: int) -> "Subject":
        """The same with `count` examples spread evenly over the set, made once."""
        n = len(self.examples.labels)
        count = min(count, n)
        if count not in self._parts:
            rows = np.unique(np.linspace(0, n - 1, count).astype(int))
            self._parts[count] = self.take(rows)
        return self._parts[count]

    def survivors(self, count: int) -> "Subject":
        """The same with examples that withstood all, those nearest to giving in."""
        logits = self.attacked_logits
        logits = self.base.logits if logits is None else logits
        top = np.sort(logits, axis=-1)[:, -2:]
        order = np.argsort(top[:, 1] - top[:, 0])
        return self.take(order[self.withstood[order]][:count])

    def run(
        self,
        attack: Attack | None = None,
        *,
        epsilon: float | None = None,
        logits_fn_of: LogitsFnOf | None = None,
        with_surrogates: bool = True,
    ) -> Attacked:
        """Attack the examples.

        Args:
            attack: Which; that of the subject if None.
            epsilon: Radius; that of the subject if None.
            logits_fn_of: What is attacked; the whole classifier if None.
            with_surrogates: Whether the other backward passes are followed as well.
        """
        evaluator = self._evaluator
        if logits_fn_of or not with_surrogates:
            evaluator = Evaluator(
                logits_fn_of or self.logits_fn_of,
                batch_size=self._batch_size,
                surrogates_of=self.surrogates_of if with_surrogates else None,
                before_batch=self.before_batch,
            )
        return evaluator.attack(
            attack or self.attack, self.params, self.examples, self.key,
            self.epsilon if epsilon is None else epsilon, description=self.arm,
        )  # fmt: skip

    @functools.cached_property
    def base(self) -> Attacked:
        """The subject's own attack on its examples."""
        return self.run()

    @functools.cached_property
    def clean_logits(self) -> np.ndarray:
        """Logits of the clean images, `[n, classes]`."""
        return self.logits(self.examples.images)

    def logits(
        self, images: np.ndarray, logits_fn_of: LogitsFnOf | None = None
    ) -> np.ndarray:
        """Logits of images in place of the examples', by the classifier or another."""
        of = logits_fn_of or self.logits_fn_of
        return self.map(
            lambda params, x, labels, keys, other: of(params)(other), images
        )

    def map(self, step: Callable[..., Any], *arrays: np.ndarray) -> Any:
        """A function of each batch of examples, compiled, over all of them.

        Args:
            step: Of parameters, images, labels, one key an example and the arrays, to a
                tree of arrays `[batch, ...]`.
            *arrays: `[n, ...]` each.

        Returns:
            That tree, `[n, ...]`, in host memory.
        """
        mesh = devices.data_mesh()
        size = devices.round_up(self._batch_size, mesh)
        params = devices.replicate(self.params, mesh)
        n = len(self.examples.labels)
        given = (self.examples.images, self.examples.labels, self._keys(), *arrays)
        compiled, parts = jax.jit(step), []
        for start in range(0, n, size):
            self.before_batch()
            rows = np.arange(start, start + size) % n
            batch = devices.split(tuple(array[rows] for array in given), mesh)
            parts.append(devices.gather(compiled(params, *batch)))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:n], *parts)

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            self.logits_fn_of,
            batch_size=self._batch_size,
            surrogates_of=self.surrogates_of,
            before_batch=self.before_batch,
        )

    @functools.cached_property
    def _parts(self) -> "dict[int, Subject]":
        return {}

    @property
    def _batch_size(self) -> int:
        return min(ONE_BATCH, len(self.examples.labels))

    def _keys(self) -> Key:
        """One key an example, whatever its neighbours."""
        hashes = [zlib.crc32(str(name).encode()) for name in self.examples.example_ids]
        fold = functools.partial(jax.random.fold_in, self.key)
        return jax.vmap(fold)(jnp.asarray(hashes, jnp.uint32))


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the decision is right, `[n]`."""
    return np.argmax(logits, axis=-1) == labels

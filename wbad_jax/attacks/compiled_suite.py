"""Attacks in turn on a whole set of examples, on those that are still robust.

Each attack is one compiled program for batches of one shape. Between attacks the
examples that none has broken yet are packed into fewer such batches.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from wbad_jax import devices, processes
from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.autoattack import AutoAttack
from wbad_jax.attacks.result import Attack, AttackResult
from wbad_jax.types import Key, Logits

# From parameters and images to logits.
ApplyFn = Callable[[Any, jax.Array], Logits]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SuiteResult:
    """What a suite made of a set of examples, in host memory.

    Attributes:
        adversarial: Images in the threat model, `[n, height, width, channels]`: the
            first success, or the point of lowest margin of all attacks.
        success: Whether they are misclassified, judged once more at the end, `[n]`.
        margin: True logit minus the largest other one there, `[n]`.
        distance: Norm of the perturbation, `[n]`.
        broken_by: Name of the attack that broke an example, "clean" if it needed none,
            "" for one that is robust, `[n]`.
        seconds: Wall time of each attack, with compilation.

    Examples:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from wbad_jax.attacks import FGSM, AutoAttack, CompiledSuite
        >>> apply_fn = lambda weights, images: images.mean((1, 2)) @ weights
        >>> attack = AutoAttack(attacks=(("fgsm", FGSM()),))
        >>> suite = CompiledSuite(apply_fn, attack, batch_size=2)
        >>> weights, key = jnp.array([[-1.0, 1.0]]), jax.random.key(0)
        >>> images = np.full((2, 4, 4, 1), 0.05, np.float32)
        >>> suite(weights, key, images, np.ones(2, int), epsilon=0.1).broken_by.tolist()
        ['fgsm', 'fgsm']
    """

    adversarial: np.ndarray
    success: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    broken_by: np.ndarray
    seconds: dict[str, float]

    @property
    def robust_accuracy(self) -> float:
        """Share of the examples that no attack broke."""
        return float(np.mean(~self.success))


class CompiledSuite:
    """Attacks one model architecture; parameters and radii are arguments of a call.

    Several processes make the same calls, and all get all results.

    Examples:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from wbad_jax.attacks import FGSM, AutoAttack, CompiledSuite
        >>> apply_fn = lambda weights, images: images.mean((1, 2)) @ weights
        >>> attack = AutoAttack(attacks=(("fgsm", FGSM()),))
        >>> suite = CompiledSuite(apply_fn, attack, batch_size=2)
        >>> weights, key = jnp.array([[-1.0, 1.0]]), jax.random.key(0)
        >>> images = np.full((3, 4, 4, 1), 0.05, np.float32)
        >>> suite(weights, key, images, np.ones(3, int), epsilon=0.1).success
        array([ True,  True,  True])
    """

    def __init__(
        self,
        apply_fn: ApplyFn,
        attack: AutoAttack,
        *,
        batch_size: int,
        surrogates: Mapping[str, ApplyFn] | None = None,
        mesh: Mesh | None = None,
    ):
        """Prepares a suite; nothing is compiled yet.

        Args:
            apply_fn: The attacked model.
            attack: Which attacks, and the norm.
            batch_size: Examples a batch, rounded up to a multiple of the devices.
            surrogates: More functions of the same parameters whose gradients may be
                followed, such as other backward modes of a denoiser.
            mesh: Devices to share a batch among, from `devices.data_mesh`; all of them
                if None.
        """
        validation.check_at_least("batch_size", batch_size, 1)
        self._mesh = mesh or devices.data_mesh()
        self._apply_fn = apply_fn
        self._surrogates = surrogates or {}
        self._attack = attack
        self._batch_size = devices.round_up(batch_size, self._mesh)
        self._forward = jax.jit(apply_fn)
        self._steps: dict[tuple[Attack, bool], Callable] = {}

    def __call__(
        self,
        params: Any,
        key: Key,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        epsilon: float | np.ndarray,
        bounds: tuple[float, float] = (0.0, 1.0),
        mask: np.ndarray | None = None,
        progress: bool = True,
    ) -> SuiteResult:
        """Attacks all examples.

        The draws of an example follow from the key and its row, so that its result does
        not depend on which others are still robust.

        Args:
            params: Parameters of the model.
            key: One typed key.
            images: `[n, height, width, channels]`, within `bounds`.
            labels: True classes, `[n]`.
            epsilon: Radius in pixel units, scalar or `[n]`.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change, `[n, height, width, 1 or channels]`.
            progress: Whether to show a bar for each attack.

        Raises:
            ValueError: If an argument breaks the rules above, if an image's logits
                depend on the other images of a batch, or if they change from one pass
                to the next.
        """
        images, labels = np.asarray(images), np.asarray(labels)
        params = devices.replicate(params, self._mesh)
        n = len(labels)
        epsilon = np.broadcast_to(np.asarray(epsilon, np.float32), (n,))
        self._check(params, images, labels, epsilon, bounds, mask)
        inputs = {"images": images, "labels": labels, "epsilon": epsilon}
        if mask is not None:
            inputs["mask"] = np.broadcast_to(mask, (n, *np.shape(mask)[-3:]))
        logits = self._logits(params, images)
        result = _before_any_attack(images, labels, logits)
        suite = self._attack.suite(logits.shape[-1])
        keys = _keys(key, n)
        shown = progress and processes.is_first()
        for number, (name, attack) in enumerate(suite.items()):
            start = time.perf_counter()
            own = threat_models.fold_in(keys, number)
            inputs["key"] = np.asarray(jax.random.key_data(own))
            step = self._step(attack, self._attack.follows_surrogates(name))
            robust = np.flatnonzero(~result.success)
            firsts = range(0, len(robust), self._batch_size)
            for first in tqdm(firsts, desc=name, leave=False, disable=not shown):
                rows = robust[first : first + self._batch_size]
                # Padding repeats an example; its result is not used.
                padded = np.resize(rows, self._batch_size)
                batch = {field: value[padded] for field, value in inputs.items()}
                found = step(params, devices.split(batch, self._mesh), bounds)
                _take_in(result, name, rows, devices.gather(found))
            result.seconds[name] = time.perf_counter() - start
        return self._judged_again(params, result, labels)

    def _step(self, attack: Attack, follow: bool) -> Callable:
        """The compiled program of one attack, with or without surrogates."""
        surrogates = self._surrogates if follow else {}

        def step(params, batch, bounds):
            bind = functools.partial
            models = {name: bind(of, params) for name, of in surrogates.items()}
            return attack(
                bind(self._apply_fn, params),
                jax.random.wrap_key_data(batch["key"]),
                batch["images"],
                batch["labels"],
                epsilon=batch["epsilon"],
                bounds=bounds,
                mask=batch.get("mask"),
                surrogates=models or None,
            )

        return self._steps.setdefault((attack, bool(surrogates)), jax.jit(step))

    def _logits(self, params: Any, images: np.ndarray) -> np.ndarray:
        parts = []
        for first in range(0, len(images), self._batch_size):
            rows = np.arange(first, min(first + self._batch_size, len(images)))
            batch = devices.split(images[np.resize(rows, self._batch_size)], self._mesh)
            parts.append(devices.gather(self._forward(params, batch))[: len(rows)])
        return np.concatenate(parts)

    def _check(self, params, images, labels, epsilon, bounds, mask) -> None:
        def logits_fn(batch):
            return self._forward(params, batch)

        validation.check_inputs(
            functools.partial(self._apply_fn, params), images, labels, epsilon=epsilon,
            bounds=bounds, mask=mask, norm=self._attack.norm,
        )  # fmt: skip
        if not len(images):
            raise ValueError("images must hold at least one example, got none.")
        rows = np.resize(np.arange(len(images)), self._batch_size)
        batch = devices.split(images[rows], self._mesh)
        validation.check_independent(logits_fn, batch)
        once, again = devices.gather((logits_fn(batch), logits_fn(batch)))
        if not np.array_equal(once, again):
            raise ValueError(
                "logits_fn must give the same logits for the same images, but two "
                f"passes differ by {np.max(np.abs(once - again)):.3g}; attack its mean "
                "by expectation_over_transformation."
            )

    def _judged_again(self, params, result: SuiteResult, labels) -> SuiteResult:
        """A fresh pass over the stored images decides."""
        logits = self._logits(params, result.adversarial)
        success = np.asarray(losses.misclassified(jnp.asarray(logits), labels))
        broken_by = np.where(success, result.broken_by, "")
        margin = np.asarray(losses.margin(jnp.asarray(logits), labels))
        return dataclasses.replace(
            result, success=success, broken_by=broken_by, margin=margin
        )


def _keys(key: Key, n: int) -> Key:
    return jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(n))


def _before_any_attack(images, labels, logits) -> SuiteResult:
    success = np.array(losses.misclassified(jnp.asarray(logits), labels))
    margin = np.array(losses.margin(jnp.asarray(logits), labels))
    return SuiteResult(
        adversarial=images.copy(),
        success=success,
        # A correct image loses to every point that an attack finds.
        margin=np.where(success, margin, np.inf),
        distance=np.zeros(len(labels), np.float32),
        broken_by=np.where(success, "clean", "").astype(object),
        seconds={},
    )


def _take_in(result: SuiteResult, name: str, rows: np.ndarray, found) -> None:
    """Writes an attack's results on some rows into the arrays of `result`."""
    found = AttackResult(*(leaf[: len(rows)] for leaf in found))
    better = found.success | (found.margin < result.margin[rows])
    taken = rows[better]
    result.adversarial[taken] = found.adversarial[better]
    result.margin[taken] = found.margin[better]
    result.distance[taken] = found.distance[better]
    result.success[taken] = found.success[better]
    result.broken_by[rows[found.success]] = name

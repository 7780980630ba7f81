"""Certificates, decisions and attacks of a smoothed classifier, for whole data sets."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from wbad_jax import devices, processes
from wbad_jax.attacks import threat_models
from wbad_jax.attacks.result import StartedAttack
from wbad_jax.evaluation.robustness import Examples
from wbad_jax.evaluation.smoothing import (
    Certificates,
    Decision,
    certify_votes,
    check_noise,
    count_votes,
    decide_votes,
    least_samples,
)
from wbad_jax.evaluation.smoothing_attack import attack_smoothed
from wbad_jax.types import Key, LogitsFn, Params

# Folded into a key: two samples of noise that share nothing.
_SELECTION, _ESTIMATION = 0, 1


class SmoothedEvaluator:
    """Compiled votes and attacks of one classifier architecture.

    Parameters, images, keys, sigma, radii and the number of votes are arguments of the
    compiled programs: others do not recompile. Draws follow from `key` and the
    example's id alone, see `Examples.keys`. Several processes make the same calls, and
    all get all results.

    Examples:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from wbad_jax.evaluation import Examples, SmoothedEvaluator
        >>> examples = Examples(
        ...     images=np.full((1, 4, 4, 1), 0.9, np.float32), labels=np.array([1]),
        ...     example_ids=np.array(["a"]), patient_ids=np.arange(1),
        ... )
        >>> evaluator = SmoothedEvaluator(
        ...     lambda w: lambda x: x.mean((1, 2)) @ w, batch_size=1, noise_batch=10
        ... )
        >>> weights, key = jnp.array([[-1.0, 1.0]]), jax.random.key(0)
        >>> votes = dict(num_samples=20, alpha=0.01)
        >>> evaluator.predict(weights, examples, key, 0.1, **votes).predicted
        array([1])
    """

    def __init__(
        self,
        logits_fn_of: Callable[[Params], LogitsFn],
        *,
        batch_size: int = 8,
        noise_batch: int = 32,
        mesh: Mesh | None = None,
        before_batch: Callable[[], None] = lambda: None,
    ):
        """Prepare an evaluator.

        Args:
            logits_fn_of: From parameters to the network, with the denoiser if it has
                one: noise is added before it.
            batch_size: Examples a batch, rounded up to a multiple of the devices.
            noise_batch: Draws of each that the network sees at once.
            mesh: Devices to share a batch among, from `devices.data_mesh`; all of them
                if None.
            before_batch: Called before each batch; may raise to end early.
        """
        self._logits_fn_of = logits_fn_of
        self._mesh = mesh or devices.data_mesh()
        self._batch_size = devices.round_up(batch_size, self._mesh)
        self._before_batch = before_batch

        def votes(params: Params, images, keys, sigma, num_samples):
            return count_votes(
                logits_fn_of(params), keys, images, sigma, num_samples,
                noise_batch=noise_batch,
            )  # fmt: skip

        self._votes = jax.jit(votes)
        self._attacks: dict[tuple[StartedAttack, int], Callable] = {}

    def certify(
        self,
        params: Params,
        examples: Examples,
        key: Key,
        sigma: float,
        *,
        num_selection: int = 100,
        num_samples: int = 10_000,
        alpha: float = 1e-3,
        description: str = "certify",
    ) -> Certificates:
        """CERTIFY of each example.

        Args:
            params: Parameters of the network.
            examples: The set.
            key: Base key.
            sigma: Standard deviation of the noise in pixel units.
            num_selection: Votes that choose the class.
            num_samples: Votes that give its radius.
            alpha: Probability, for each example, that its certificate is false.
            description: Label of the progress bar.

        Raises:
            ValueError: If an argument is out of range, or `num_samples` so few that not
                even a unanimous vote certifies anything.
        """
        check_noise(sigma, alpha)
        if num_samples < least_samples(alpha):
            raise ValueError(
                f"num_samples must be at least {least_samples(alpha)} for alpha "
                f"{alpha:g}, got {num_samples}."
            )
        selection, votes = (
            self.votes(
                params, examples, jax.random.fold_in(key, part), sigma, count,
                description=description,
            )
            for part, count in ((_SELECTION, num_selection), (_ESTIMATION, num_samples))
        )  # fmt: skip
        return certify_votes(selection, votes, sigma, alpha)

    def predict(
        self,
        params: Params,
        examples: Examples,
        key: Key,
        sigma: float,
        *,
        num_samples: int = 1000,
        alpha: float = 1e-3,
        images: np.ndarray | None = None,
        description: str = "predict",
    ) -> Decision:
        """PREDICT of each example, or of `images` in their place; see `certify`."""
        check_noise(sigma, alpha)
        votes = self.votes(
            params, examples, key, sigma, num_samples, images=images,
            description=description,
        )  # fmt: skip
        return decide_votes(votes, alpha)

    def votes(
        self,
        params: Params,
        examples: Examples,
        key: Key,
        sigma: float,
        num_samples: int,
        *,
        images: np.ndarray | None = None,
        description: str = "votes",
    ) -> np.ndarray:
        """Votes for each class, `[n, classes]`; see `count_votes`.

        Raises:
            ValueError: If there is no vote to count, or a logit is not finite.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        params = devices.replicate(params, self._mesh)
        images = examples.images if images is None else images
        parts = []
        for rows, keys in self._batches(examples, key, description):
            batch, keys = devices.split((images[rows], keys), self._mesh)
            found = self._votes(params, batch, keys, float(sigma), int(num_samples))
            parts.append(devices.gather(found))
        votes = np.concatenate(parts)[: len(examples.labels)]
        if np.any(votes.sum(axis=1) != num_samples):
            raise ValueError("A logit is not finite: the model is broken.")
        return votes

    def attack(
        self,
        attack: StartedAttack,
        params: Params,
        examples: Examples,
        key: Key,
        sigma: float,
        radii: float | np.ndarray,
        *,
        num_samples: int = 16,
        bounds: threat_models.Bounds = (0.0, 1.0),
        starts: np.ndarray | None = None,
        description: str = "attack",
    ) -> np.ndarray:
        """Images where the smoothed classifier does worst, by `attack_smoothed`.

        Args:
            attack: Climbs, in L2.
            params: Parameters of the network.
            examples: The set; its labels are the classes to leave.
            key: Base key.
            sigma: Standard deviation of the noise.
            radii: Of the balls, one for all or one an example.
            num_samples: Draws a gradient.
            bounds: Smallest and largest pixel value.
            starts: More points to start from, `[starts, n, height, width, channels]`.
            description: Label of the progress bar.

        Returns:
            Images like those of the examples.
        """
        step = self._attacks.setdefault(
            (attack, num_samples), self._make_attack(attack, num_samples)
        )
        params = devices.replicate(params, self._mesh)
        radii = np.broadcast_to(np.asarray(radii, np.float32), examples.labels.shape)
        if starts is None:
            starts = np.empty((0, *examples.images.shape), np.float32)
        # Examples first: that axis is shared among the devices.
        starts = np.moveaxis(starts, 0, 1)
        parts = []
        for rows, keys in self._batches(examples, key, description):
            arrays = examples.images, examples.labels, radii, starts
            batch = devices.split([array[rows] for array in arrays], self._mesh)
            keys = devices.split(keys, self._mesh)
            found = step(params, keys, key, batch, float(sigma), bounds)
            parts.append(devices.gather(found))
        return np.concatenate(parts)[: len(examples.labels)]

    def _make_attack(self, attack: StartedAttack, num_samples: int):
        def step(params: Params, keys, noise_key, batch, sigma, bounds):
            images, labels, radii, starts = batch
            return attack_smoothed(
                attack, self._logits_fn_of(params), keys, noise_key, images, labels,
                sigma=sigma, epsilon=radii, num_samples=num_samples, bounds=bounds,
                starts=jnp.moveaxis(starts, 1, 0),
            )  # fmt: skip

        return jax.jit(step)

    def _batches(
        self, examples: Examples, key: Key, description: str
    ) -> Iterator[tuple[np.ndarray, Key]]:
        """Rows and keys of each batch; the last wraps around."""
        n, size = len(examples.labels), self._batch_size
        keys = examples.keys(key)
        bar = tqdm(range(0, n, size), desc=description, leave=False,
                   disable=not processes.is_first())  # fmt: skip
        for start in bar:
            self._before_batch()
            rows = np.arange(start, start + size) % n
            yield rows, keys[rows]

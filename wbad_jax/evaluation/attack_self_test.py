"""C19: the configured attacks on a linear classifier, whose boundary is known.

The smallest perturbation that changes a linear decision with margin m and weights w is
|m| / |w|_1 in Linf and |m| / |w|_2 in L2. Just inside no attack may succeed, just
outside those that search the whole ball must (Carlini et al. 2019, section 4.9, ask to
validate attacks on models that are known to be weak).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax.attacks import Attack
from wbad_jax.evaluation.check_results import Verdict, not_run, verdict

# Attacks whose direction on a linear classifier is the best one.
GRADIENT_ATTACKS = ("fgsm", "bim", "mim", "pgd", "apgd", "fab", "fmn", "autoattack")
# Attacks that trade distance for success by a search over a constant.
MINIMAL_NORM_ATTACKS = ("cw", "ddn")
INSIDE, OUTSIDE, FAR_OUTSIDE = 0.99, 1.01, 1.2
_IMAGES = 8
_DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def attack_self_test(
    attacks: Mapping[str, Attack], image_shape: tuple[int, int, int], key: jax.Array
) -> Verdict:
    """Run attacks on a linear classifier, at 99 % and 101 % of the distance.

    Args:
        attacks: Those of the evaluation, by name.
        image_shape: `(height, width, channels)`.
        key: For the weights, the images and the attacks.

    Returns:
        A fail if one succeeds inside, or one of `GRADIENT_ATTACKS` fails at 101 % (one
        of `MINIMAL_NORM_ATTACKS`: at 120 %) on any image.

    Examples:
        >>> import jax
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.evaluation import attack_self_test
        >>> tried = {"pgd": PGD(num_steps=4)}
        >>> attack_self_test(tried, (8, 8, 1), jax.random.key(0)).status
        'pass'
    """
    if not attacks:
        return not_run("There is no attack.")
    found, faults = {}, []
    for name, attack in attacks.items():
        rates = _success_rates(attack, image_shape, key)
        found[name] = rates
        if rates["inside"] > 0:
            faults.append(f"{name} succeeds where no perturbation can")
        if name in GRADIENT_ATTACKS and rates["outside"] < 1:
            faults.append(
                f"{name} breaks {rates['outside']:.0%} at 101 % of the distance"
            )
        if name in MINIMAL_NORM_ATTACKS and rates["far_outside"] < 1:
            faults.append(
                f"{name} breaks {rates['far_outside']:.0%} at 120 % of the distance"
            )
    return verdict(
        not faults,
        f"On a linear classifier {', '.join(found)} succeed just outside the known "
        "distance and never inside.",
        f"On a linear classifier, whose boundary is known: {'; '.join(faults)}.",
        success=found,
    )


def _success_rates(attack: Attack, image_shape, key) -> dict[str, float]:
    keys = jax.random.split(key, 3)
    size = int(np.prod(image_shape))
    weights = jax.random.normal(keys[0], (size,)) / jnp.sqrt(size)
    images = 0.5 + 0.05 * jax.random.normal(keys[1], (_IMAGES, size))
    images = jnp.clip(images, 0.3, 0.7)
    # Margins are set, so that all boundaries are within the pixel range.
    wanted = 0.02 * jnp.sum(jnp.abs(weights)) * jnp.linspace(0.2, 1, _IMAGES)
    images += ((wanted - (images - 0.5) @ weights) / (weights @ weights))[:, None] * (
        weights
    )
    images = jnp.clip(images, 0.2, 0.8)
    labels = jnp.zeros(_IMAGES, jnp.int32)

    def logits_fn(x):
        # In units of the median margin, as an `Evaluator` gives logits to attacks.
        score = (x.reshape(len(x), -1) - 0.5) @ weights / jnp.median(wanted)
        return jnp.stack([score / 2, -score / 2], axis=-1)

    distance = jnp.abs((images - 0.5) @ weights) / jnp.linalg.norm(
        weights, _DUAL[attack.norm]
    )
    places = (INSIDE, OUTSIDE, FAR_OUTSIDE)
    epsilon = jnp.concatenate([place * distance for place in places])
    repeated = jnp.tile(images, (len(places), 1)).reshape(-1, *image_shape)

    @jax.jit
    def run(images, labels, epsilon, key):
        return attack(logits_fn, key, images, labels, epsilon=epsilon).success

    success = run(repeated, jnp.tile(labels, len(places)), epsilon, keys[2])
    rates = np.asarray(success).reshape(len(places), -1).mean(axis=1)
    names = ("inside", "outside", "far_outside")
    return {name: float(rate) for name, rate in zip(names, rates, strict=True)}

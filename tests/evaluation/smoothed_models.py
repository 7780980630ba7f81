"""Small networks and sets for tests of smoothing, in JAX and once more in NumPy."""

import jax.numpy as jnp
import numpy as np

from wbad_jax.evaluation import Examples

SHAPE = (4, 3, 1)


def make_examples(n=7, classes=2, seed=1):
    rng = np.random.default_rng(seed)
    return Examples(
        images=rng.uniform(size=(n, *SHAPE)).astype(np.float32),
        labels=rng.integers(0, classes, n).astype(np.int32),
        example_ids=np.array([f"e{i}" for i in range(n)]),
        patient_ids=np.arange(n),
    )


def perceptron_params(classes=3, seed=0):
    rng = np.random.default_rng(seed)
    size = int(np.prod(SHAPE))
    return {
        "first": jnp.asarray(rng.normal(size=(size, 8)), jnp.float32),
        "second": jnp.asarray(rng.normal(size=(8, classes)), jnp.float32),
    }


def perceptron(params):
    def logits_fn(images):
        flat = (images - 0.5).reshape(len(images), -1)
        return jnp.tanh(flat @ params["first"]) @ params["second"]

    return logits_fn


def numpy_perceptron(params, image):
    hidden = np.tanh((image - 0.5).ravel() @ np.asarray(params["first"]))
    return hidden @ np.asarray(params["second"])


def linear_params(seed=0):
    """A plane through the middle of the cube."""
    direction = np.random.default_rng(seed).normal(size=int(np.prod(SHAPE)))
    return {"weights": jnp.asarray(direction, jnp.float32)}


def linear(params):
    def logits_fn(images):
        score = (images - 0.5).reshape(len(images), -1) @ params["weights"]
        return jnp.stack([-score, score], axis=-1)

    return logits_fn


def signed_distances(params, images):
    """Of images to the plane; positive where class 1 is the answer."""
    weights = np.asarray(params["weights"], np.float64)
    scores = (images.astype(np.float64) - 0.5).reshape(len(images), -1) @ weights
    return scores / np.linalg.norm(weights)

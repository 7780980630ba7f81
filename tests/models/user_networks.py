"""Networks as a user may write them, good and bad, for `test_imported.py`."""

import jax
import jax.numpy as jnp
from flax import nnx


class Perceptron(nnx.Module):
    def __init__(self, inputs, num_classes, *, hidden=(4,), rngs):
        self.inner = nnx.Linear(inputs, hidden[0], rngs=rngs)
        self.outer = nnx.Linear(hidden[0], num_classes, rngs=rngs)

    def __call__(self, features):
        hidden = nnx.relu(self.inner(features))
        return self.outer(jnp.mean(hidden, axis=(1, 2)))


class WithoutPooling(Perceptron):
    def __call__(self, features):
        return self.outer(nnx.relu(self.inner(features)))


class WithBatchNorm(Perceptron):
    def __init__(self, inputs, num_classes, *, rngs):
        super().__init__(inputs, num_classes, rngs=rngs)
        self.norm = nnx.BatchNorm(inputs, rngs=rngs)


class WithoutRngs(nnx.Module):
    def __init__(self, inputs, num_classes):
        self.sizes = inputs, num_classes


class Broken(Perceptron):
    def __call__(self, features):
        raise RuntimeError("out of order")


class OnlyFloat32(Perceptron):
    def __call__(self, features):
        if features.dtype != jnp.float32:
            raise TypeError("float32 only")
        return super().__call__(features)


class NotAModule:
    def __init__(self, inputs, num_classes, *, rngs):
        del inputs, num_classes, rngs


FUNCTION = jax.nn.relu

"""A network of the user's own, named by its import path.

Any `flax.nnx.Module` will do that is built as `Class(inputs, num_classes, rngs=...,
**options)`, maps feature images `[batch, height, width, inputs]` to logits
`[batch, num_classes]`, and holds no variables but parameters.
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from wbad_jax.models.precision import apply_network
from wbad_jax.types import Logits


def import_network(path: str) -> type[nnx.Module]:
    """The class at `package.module:Class`.

    Raises:
        ValueError: Naming the path, if it cannot be imported or is no `nnx.Module`.
    """
    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise ValueError(
            f"model name {path!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    network = getattr(module, class_name, None)
    if network is None:
        raise ValueError(
            f"model name {path!r}: module {module_name!r} has no {class_name!r}."
        )
    if not (inspect.isclass(network) and issubclass(network, nnx.Module)):
        raise ValueError(
            f"model name {path!r} must name a subclass of flax.nnx.Module, got "
            f"{network!r}."
        )
    return network


def check_network(
    path: str,
    features_shape: tuple[int, int, int],
    num_classes: int,
    options: Mapping[str, Any],
    compute_dtype: str = "float32",
) -> None:
    """Build and apply the network on abstract arrays; nothing is computed or compiled.

    Args:
        path: For `import_network`.
        features_shape: Height, width and channels of the feature images.
        num_classes: Number of logits.
        options: Keyword arguments of the class.
        compute_dtype: What the network computes in, see `precision.py`.

    Raises:
        ValueError: Naming the path, if the class cannot be imported, does not take
            these arguments, fails, holds variables that are no parameters, or does not
            return logits `[batch, num_classes]`.
    """
    network: Any = import_network(path)
    inputs = features_shape[-1]
    try:
        # Of the constructor: the metaclass of nnx.Module hides the class's own.
        signature = inspect.signature(network.__init__)
        signature.bind(None, inputs, num_classes, rngs=None, **options)
    except TypeError as error:
        raise ValueError(
            f"model name {path!r} must be callable as Class(inputs, num_classes, "
            f"rngs=..., **options) with options {dict(options)}: {error}."
        ) from error

    def run(features) -> Logits:
        rngs = nnx.Rngs(params=jax.random.key(0))
        module: Any = network(inputs, num_classes, rngs=rngs, **options)
        _check_variables(path, module)
        return apply_network(module, features, compute_dtype)

    batch = jax.ShapeDtypeStruct((2, *features_shape), jnp.float32)
    try:
        logits = jax.eval_shape(run, batch)
    except _ForeignVariablesError:
        raise
    except Exception as error:  # whatever the user's class raises
        raise ValueError(
            f"model name {path!r} fails on features of shape {batch.shape} in "
            f"{compute_dtype}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if getattr(logits, "shape", None) != (2, num_classes):
        raise ValueError(
            f"model name {path!r} must return logits [batch, {num_classes}], got "
            f"{getattr(logits, 'shape', type(logits).__name__)} for a batch of 2."
        )


class _ForeignVariablesError(ValueError):
    """A network holds variables that are no parameters."""


def _check_variables(path: str, module: nnx.Module) -> None:
    # Statistics of batches and counters of dropout change when a network is called; a
    # pure function of the parameters, which an attack needs, has no room for them.
    leaves = nnx.to_flat_state(nnx.state(module))
    others = {type(v).__name__ for _, v in leaves if not isinstance(v, nnx.Param)}
    if others:
        raise _ForeignVariablesError(
            f"model name {path!r} must hold nnx.Param only, got {sorted(others)}; "
            "batch statistics and dropout are not supported, GroupNorm is."
        )

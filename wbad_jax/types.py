"""Array aliases with named axes, and the callables that the packages exchange.

Conventions of the whole library: images are `[batch, height, width, channels]`, a fixed
window of temperature mapped to [0, 1]; labels are int32, 0 = healthy, 1 = tumour; keys
are typed JAX keys (`jax.random.key`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, Int

Images = Float[Array, "*batch height width channels"]
Labels = Int[Array, " batch"]
Logits = Float[Array, "batch classes"]
PerExample = Float[Array, " batch"]
Key = jax.Array
Params = Mapping[str, Any]

# From images to unnormalised class scores; the only thing an attack knows of a model.
LogitsFn = Callable[[Images], Logits]


class Batch(NamedTuple):
    """One batch of labelled images. Padding rows have weight 0."""

    images: Images
    labels: Labels
    weights: PerExample

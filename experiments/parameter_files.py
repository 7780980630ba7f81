"""Trained parameters alone, in one small file: what a released checkpoint holds.

An archive of NumPy arrays named by their path in the tree; nothing in it is code.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config_errors import ConfigError
from experiments.whole_files import read_arrays, write_arrays
from wbad_jax.types import Params

FILE = "parameters.npz"


def exist_in(folder: str) -> bool:
    """Whether a folder holds released parameters."""
    return (pathlib.Path(folder) / FILE).is_file()


def write_parameters(params: Params, path: pathlib.Path) -> None:
    """Write parameters.

    Args:
        params: A nested dict of arrays.
        path: Of the file.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    arrays = {_name(where): np.asarray(leaf) for where, leaf in leaves}
    write_arrays(arrays, path, compress=True)


def parts_in(path: pathlib.Path) -> set[str]:
    """What a file holds parameters of, such as "network" and "denoiser".

    Raises:
        ConfigError: If the file cannot be read.
    """
    return {name.split(".", 1)[0] for name in _read(path)}


def read_parameters(path: pathlib.Path, like: Params) -> Params:
    """Read parameters back.

    Args:
        path: Of the file.
        like: A tree of the same structure, shapes and types.

    Raises:
        ConfigError: If the file cannot be read, or holds another tree.
    """
    arrays = _read(path)
    wanted = {_name(w): leaf for w, leaf in jax.tree_util.tree_leaves_with_path(like)}
    if arrays.keys() != wanted.keys():
        differing = sorted(arrays.keys() ^ wanted.keys())
        raise ConfigError(
            f"{path} must hold the parameters of this network, but differs in "
            f"{', '.join(differing[:5])}."
        )
    for name, leaf in wanted.items():
        found = arrays[name]
        if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
            raise ConfigError(
                f"{path}: {name} must be {leaf.dtype}{list(leaf.shape)}, got "
                f"{found.dtype}{list(found.shape)}."
            )
    return jax.tree_util.tree_map_with_path(
        lambda where, _: jnp.asarray(arrays[_name(where)]), like
    )


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except ConfigError as error:
        raise ConfigError(f"{path} cannot be read as parameters: {error}") from error


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")

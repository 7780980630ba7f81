"""Settings shared by all tests: fast compilation, a persistent cache, a seeded key."""

import os
import pathlib
import tempfile

# Before JAX is imported. Level 0 compiles 3-6 times faster and is not used for results.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
)
_CACHE = pathlib.Path(tempfile.gettempdir()) / "wbad_jax_test_compilation_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _forget_executables():
    """Each takes memory maps, of which Linux allows a process 65,530."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def enable_x64():
    """Double precision for the body of one test."""
    with jax.enable_x64(True):
        yield

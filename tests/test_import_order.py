"""Keeps the imports between packages pointing one way, and file names telling."""

import ast
import pathlib

import pytest

MAY_IMPORT = {
    "types": set(),
    "stages": set(),
    "devices": set(),
    "damaged_files": set(),
    "processes": set(),
    "gradient_replacement": set(),
    "wavelets": {"types", "stages"},
    "denoise": {"types", "gradient_replacement", "wavelets"},
    "models": {"types", "stages", "wavelets", "denoise"},
    # Not models or denoise: an attack sees a function from images to logits.
    "attacks": {
        "types",
        "devices",
        "processes",
        "stages",
        "gradient_replacement",
        "wavelets",
    },
    "training": {
        "types",
        "damaged_files",
        "devices",
        "processes",
        "stages",
        "attacks",
    },
    "evaluation": {"types", "damaged_files", "devices", "processes", "attacks"},
    "bioheat": {"types", "stages"},
    "data": {"types", "bioheat"},
}
# In `attacks`, only those confined to subbands know of wavelets.
ONLY_HERE = {("attacks", "wavelets"): "subband"}
# Names that say nothing of what is inside.
VAGUE = {"utils", "helpers", "common", "base", "core", "manager"}
REPOSITORY = pathlib.Path(__file__).parents[1]
ROOT = REPOSITORY / "wbad_jax"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def package_of(file):
    return file.split("/")[0].removesuffix(".py")


def imported_modules(source, package):
    """Yield the dotted name of every module that `source` may import, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ["wbad_jax", package] if node.level == 1 else []
            parent = ["wbad_jax"] if node.level == 2 else parent
            module = ".".join([*parent, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def violations(file, source):
    package = package_of(file)
    allowed = MAY_IMPORT.get(package, set()) | {package}
    for module, line in imported_modules(source, package):
        top, *rest = module.split(".")
        if top in {"experiments", "configs", "tests", "benchmarks"}:
            yield f"line {line}: the library may not import {top}"
        if top != "wbad_jax" or package == "__init__" or not rest:
            continue
        target = rest[0]
        if target == "__version__":
            continue
        if target not in allowed:
            yield f"line {line}: {package} may not import {target}"
        needed = ONLY_HERE.get((package, target))
        if needed and needed not in file:
            yield f"line {line}: only {package}/{needed} may import {target}"


@pytest.mark.fast
@pytest.mark.parametrize("file", FILES)
def test_imports_point_one_way(file):
    assert not list(violations(file, (ROOT / file).read_text(encoding="utf-8")))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("attacks/pgd.py", "from wbad_jax import models", "may not import models"),
        ("attacks/pgd.py", "import wbad_jax.denoise.denoiser", "import denoise"),
        ("attacks/pgd.py", "from wbad_jax.wavelets import dwt2", "attacks/subband"),
        ("wavelets/dwt.py", "from ..denoise import shrinkage", "import denoise"),
        ("types.py", "def f():\n    from wbad_jax import attacks", "import attacks"),
        ("training/loop.py", "from experiments import train", "import experiments"),
        ("data/pipeline.py", "import configs.default", "may not import configs"),
    ],
)
def test_the_rule_sees_what_it_forbids(file, source, message):
    assert any(message in violation for violation in violations(file, source))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("attacks/subband.py", "from wbad_jax.wavelets import dwt2"),
        ("models/cnn.py", "from wbad_jax import denoise, wavelets"),
        (
            "models/cnn.py",
            "import jax\nfrom . import layers\nfrom wbad_jax.types import A",
        ),
    ],
)
def test_the_rule_lets_the_arrows_pass(file, source):
    assert not list(violations(file, source))


@pytest.mark.fast
def test_every_package_has_its_arrows():
    packages = {package_of(file) for file in FILES} - {"__init__", "_version"}
    assert packages <= set(MAY_IMPORT)


@pytest.mark.fast
def test_file_names_say_what_is_inside():
    folders = ("wbad_jax", "experiments", "configs", "benchmarks", "tests")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(paths) > len(FILES)
    parts = {part for path in paths for part in path.relative_to(REPOSITORY).parts}
    assert not {part for part in parts if part.removesuffix(".py") in VAGUE}

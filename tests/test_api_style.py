"""The public interface is documented and annotated, and no file is long."""

import dataclasses
import importlib
import inspect
import pathlib
import pkgutil

import pytest

import wbad_jax

MOST_LINES = 360
ROOT = pathlib.Path(wbad_jax.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
PACKAGES = sorted(m.name for m in pkgutil.iter_modules([str(ROOT)]) if m.ispkg)


def public_objects():
    """Every function and class of the library's own that a package exports."""
    for package in PACKAGES:
        module = importlib.import_module(f"wbad_jax.{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            owner = getattr(thing, "__module__", "") or ""
            if owner.startswith("wbad_jax") and (
                inspect.isclass(thing) or inspect.isfunction(thing)
            ):
                yield pytest.param(thing, id=f"{package}.{name}")


def methods(thing):
    """Public methods, constructor and call, as written in the class itself."""
    for name, member in vars(thing).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        written = inspect.isfunction(function) and (
            function.__code__.co_filename == inspect.getsourcefile(thing)
        )
        if written and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield name, function


def bare_arguments(function):
    parameters = list(inspect.signature(function).parameters.values())
    return [
        parameter.name
        for position, parameter in enumerate(parameters)
        if parameter.annotation is inspect.Parameter.empty
        and not (position == 0 and parameter.name in ("self", "cls"))
    ]


def documented(thing):
    # A dataclass without docstring is given its signature for one.
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    generated = dataclasses.is_dataclass(thing) and (text or "").startswith(
        f"{thing.__name__}("
    )
    return bool(text and text.strip()) and not generated


@pytest.mark.fast
@pytest.mark.parametrize("thing", list(public_objects()))
def test_public_objects_have_a_docstring(thing):
    assert documented(thing)
    if inspect.isclass(thing):
        for name, function in methods(thing):
            assert name == "__init__" or function.__doc__, name


@pytest.mark.fast
@pytest.mark.parametrize("thing", list(public_objects()))
def test_public_arguments_are_annotated(thing):
    functions = methods(thing) if inspect.isclass(thing) else [("", thing)]
    for name, function in functions:
        assert not bare_arguments(function), name


@pytest.mark.fast
@pytest.mark.parametrize("package", PACKAGES)
def test_exports_exist_and_are_listed_once(package):
    module = importlib.import_module(f"wbad_jax.{package}")
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name


@pytest.mark.fast
@pytest.mark.parametrize("file", FILES)
def test_no_file_is_long(file):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    # Examples in docstrings make no code longer.
    code = [line for line in lines if not line.lstrip().startswith((">>> ", "... "))]
    assert len(code) <= MOST_LINES


@pytest.mark.fast
def test_the_rules_see_what_they_forbid():
    def function(documented: int, bare, *, also_bare=1):
        pass

    class Plain:
        def method(self, x):
            pass

    @dataclasses.dataclass
    class Data:
        x: int

    assert bare_arguments(function) == ["bare", "also_bare"]
    assert not any(map(documented, (function, Plain, Data)))
    assert [name for name, _ in methods(Plain)] == ["method"]
    assert bare_arguments(Plain.method) == ["x"]
    assert len(list(public_objects())) > 40

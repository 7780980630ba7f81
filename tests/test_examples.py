"""Each public function and class shows how it is used, and the example holds."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil

import pytest

import wbad_jax

PACKAGES = sorted(m.name for m in pkgutil.iter_modules(wbad_jax.__path__) if m.ispkg)
# Whose example makes what the others of the package start from: "see `Outcome`".
FIRST = {"bioheat": "solve", "data": "Dataset", "evaluation": "Outcome"}
# A protocol has nothing to call, and an error is raised by others.
NO_EXAMPLE = {
    "attacks": {"Attack", "StartedAttack"},
    "bioheat": {"NoTemplateFitsError", "NotConvergedError", "TumourPlacementError"},
    "data": {"DataError"},
    "training": {"NonFiniteLossError", "StopRequestedError"},
}
# Need a cohort of minutes, a download or another library: shown, but not run.
NOT_RUN = {
    "attacks": {"attack_with_foolbox", "foolbox_model"},
    "bioheat": {
        "Calibration", "Inverse", "Outline", "Patient", "View", "cold_stress",
        "fit_outline", "simulate", "simulate_patient", "solve_healthy", "solve_tumour",
    },
    "data": {"load", "load_by_name", "prepare", "read_examples", "read_index"},
}  # fmt: skip
# Done in milliseconds.
QUICK = [
    "attacks.margin", "attacks.project", "bioheat.draw_healthy", "data.parse_name",
    "data.split_by_patient", "denoise.soft_threshold", "evaluation.worst_case",
    "evaluation.wilson_interval", "models.ModelSettings", "training.LoopSettings",
    "wavelets.dwt_max_level",
]  # fmt: skip


def public_objects(package):
    """Functions and classes of the library's own that a package exports."""
    module = importlib.import_module(f"wbad_jax.{package}")
    for name in module.__all__:
        thing = inspect.unwrap(getattr(module, name))
        owner = getattr(thing, "__module__", None) or ""
        callable_kind = inspect.isclass(thing) or inspect.isfunction(thing)
        if owner.startswith("wbad_jax") and callable_kind:
            yield name, thing


def example_of(package, name, thing, given=None):
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    file = pathlib.Path(inspect.getsourcefile(thing)).name
    return doctest.DocTestParser().get_doctest(
        text or "", dict(given or {}), f"{package}.{name}", file, None
    )


def run(example, *, keep=False):
    """What differs from the output shown; its names are kept for others if asked."""
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example, out=said.append, clear_globs=not keep)
    return "".join(said)


def given_to(package):
    """Names that the examples of a package start from."""
    if package not in FIRST:
        return {}
    things = dict(public_objects(package))
    example = example_of(package, FIRST[package], things[FIRST[package]])
    assert not run(example, keep=True)
    return example.globs


@pytest.mark.fast
@pytest.mark.parametrize("package", PACKAGES)
def test_each_has_an_example(package):
    silent = NO_EXAMPLE.get(package, set())
    shown = {
        name: example_of(package, name, thing).examples
        for name, thing in public_objects(package)
    }
    assert {name for name, examples in shown.items() if not examples} == silent
    skipped = {
        name
        for name, examples in shown.items()
        if any(doctest.SKIP in example.options for example in examples)
    }
    assert skipped == NOT_RUN.get(package, set())


@pytest.mark.parametrize("place", QUICK)
def test_quick_examples_hold(place):
    package, name = place.split(".")
    given = given_to(package) if package != "bioheat" else {}
    assert not run(
        example_of(package, name, dict(public_objects(package))[name], given)
    )


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_examples_hold(package):
    given = given_to(package)
    wrong = [
        run(example_of(package, name, thing, given))
        for name, thing in public_objects(package)
    ]
    assert not "".join(wrong)


@pytest.mark.fast
def test_a_wrong_example_is_seen():
    def function():
        """Adds.

        >>> 1 + 1
        3
        """

    assert "Got:\n    2" in run(example_of("none", "function", function))

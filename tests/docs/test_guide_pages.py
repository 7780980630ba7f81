"""Quickstart, scaling, extending, the cards: code runs, names and numbers are true."""

import pathlib
import re

import pytest
import yaml

from configs import default
from docs.figures import card_tables, page_tables
from wbad_jax import attacks, denoise

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
ADDING = ("add_attack", "add_threshold_rule", "add_data_set")


def read(name):
    return (DOCS / f"{name}.md").read_text("utf-8")


def run(page):
    """The names that the code of a page defines."""
    namespace = {}
    blocks = re.findall(r"^```python\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_the_quickstart_runs():
    found = run("quickstart")["found"]
    assert found.success.shape == (4,)
    assert (found.distance <= 2 / 256 + 1e-6).all()


def test_the_example_of_scaling_runs():
    assert run("scaling")["logits"].shape == (8, 2)


def test_the_outline_of_an_attack_runs(key):
    import jax
    import jax.numpy as jnp

    one_noise = run("add_attack")["OneNoise"]()
    images = jax.random.uniform(key, (2, 6, 6, 1))

    def logits_fn(x):
        score = x.sum((1, 2, 3)) - 18
        return jnp.stack([-score, score], -1)

    found = one_noise(logits_fn, key, images, jnp.array([0, 1]), epsilon=0.1)
    assert (found.distance <= 0.1 + 1e-6).all()
    assert (found.distance > 0).all()


def test_the_example_of_a_rule_runs():
    names = run("add_threshold_rule")
    assert names["denoised"].shape == names["images"].shape
    plain = denoise.wavelet_denoise(names["images"], denoise.DenoiserSettings())
    assert abs(names["denoised"] - plain).max() > 1e-3


def test_the_network_of_the_extending_page_is_built():
    from flax import nnx

    network = run("extending")["Small"](3, 2, rngs=nnx.Rngs(0), width=4)
    import jax.numpy as jnp

    assert network(jnp.zeros((2, 8, 8, 3))).shape == (2, 2)


@pytest.mark.fast
@pytest.mark.parametrize("page", ADDING)
def test_files_to_touch_exist(page):
    named = re.findall(
        r"`((?:wbad_jax|tests|configs|docs|experiments)/[\w/.]+)`", read(page)
    )
    assert len(named) > 4
    for name in named:
        assert "NAME" in name or (ROOT / name).exists(), name


@pytest.mark.fast
def test_the_table_of_the_model_card_is_that_of_the_results_file():
    page = read("model_card")
    assert page_tables.filled(page, card_tables.tables()) == page


@pytest.mark.fast
@pytest.mark.parametrize("page", ["index", "quickstart"])
def test_numbers_of_the_first_pages_are_those_of_the_results_file(page):
    rows = page_tables.read_results("quickstart_jax_0.10")["rows"]

    def accuracy(arm, protocol):
        attack = "none" if protocol == "clean" else "worst_case"
        (row,) = (
            r
            for r in rows
            if (r["arm"], r["protocol"], r["attack"]) == (arm, protocol, attack)
            and r["norm"] in (None, "linf")
        )
        return f"{100 * row['accuracy']:.1f}"

    lines = [line for line in read(page).splitlines() if line.count(" % ") == 2]
    lines += [line for line in read(page).splitlines() if line.count(" %**") == 2]
    numbers = [re.findall(r"(\d+\.\d) %", line) for line in lines]
    assert numbers == [
        [accuracy(arm, protocol) for arm in ("undefended", "wbad")]
        for protocol in ("clean", "graybox", "adaptive")
    ]


@pytest.mark.fast
@pytest.mark.parametrize("page", ["scaling", "quickstart", "threat_model", "faq"])
def test_the_settings_named_exist(page):
    sections = "attack|data|denoiser|evaluation|model|training"
    named = re.findall(rf"(?:--config\.|`)((?:{sections})\.[a-z0-9_.]+)", read(page))
    assert named or page == "faq"
    for path in named:
        value = default.get_config()
        for part in path.split("."):
            assert part in value, path
            value = value[part]


@pytest.mark.fast
def test_the_comparison_counts_right():
    assert f"{len(attacks.ATTACKS)} by name" in read("comparison")


@pytest.mark.fast
def test_terms_of_the_glossary_are_in_order():
    terms = re.findall(r"^\*\*(.+)\*\*$", read("glossary"), re.MULTILINE)
    assert len(terms) > 25
    assert terms == sorted(terms, key=str.lower)


@pytest.mark.fast
def test_the_forms_for_issues_are_complete():
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {
        path.stem: yaml.safe_load(path.read_text("utf-8"))
        for path in folder.glob("*.yml")
    }
    assert set(forms) == {"bug", "question", "robustness_claim", "config"}
    for name in ("bug", "question", "robustness_claim"):
        form = forms[name]
        assert form["name"]
        assert form["description"]
        identified = [
            field["id"] for field in form["body"] if field["type"] != "markdown"
        ]
        assert len(set(identified)) == len(identified) > 1
        assert "diagnostic device" in (folder / f"{name}.yml").read_text("utf-8") or (
            name == "robustness_claim"
        )


@pytest.mark.fast
@pytest.mark.parametrize(
    "page",
    [
        "index",
        "quickstart",
        "scaling",
        "threat_model",
        "model_card",
        "data_card",
        "faq",
    ],
)
def test_a_page_says_that_this_is_no_diagnostic_device(page):
    text = " ".join(read(page).split()).lower()
    assert re.search(
        r"not a diagnostic device|fit for a diagnostic device|not a medical", text
    )

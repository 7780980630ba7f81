"""The site has every page and every public name, and needs no network."""

import importlib
import pathlib
import pkgutil
import re

import pytest

import wbad_jax
from docs import build, site_pages, tutorial_pages
from tests.browsers import chromium, needs_chromium

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = (ROOT / "mkdocs.yml").read_text("utf-8")
PACKAGES = sorted(m.name for m in pkgutil.iter_modules(wbad_jax.__path__) if m.ispkg)


def public_names():
    for package in PACKAGES:
        for name in importlib.import_module(f"wbad_jax.{package}").__all__:
            yield package, name


@pytest.mark.fast
def test_every_public_name_is_on_a_reference_page():
    pages = site_pages.reference_pages()
    names = list(public_names())
    assert len(names) > 200
    for package, name in names:
        entry = rf"^::: wbad_jax\.{package}\.{name}$"
        assert re.search(entry, pages[f"reference/{package}.md"], re.MULTILINE), name


@pytest.mark.fast
def test_every_page_is_in_the_navigation():
    written = [
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    ]
    tutorials = [f"tutorials/{name}.md" for name in tutorial_pages.names()]
    made = [*site_pages.reference_pages(), *site_pages.PROJECT_PAGES.values()]
    listed = re.findall(r"([\w/]+\.md)$", CONFIG.split("\nnav:")[1], re.MULTILINE)
    assert sorted(listed) == sorted([*written, *tutorials, *made])


@pytest.mark.fast
def test_links_of_the_files_at_the_top_are_moved():
    page = site_pages.project_page("README.md")
    assert "](../data.md)" in page
    assert "](../images/twin_patients.png)" in page
    assert "](docs/" not in page
    assert "](security.md" not in page
    assert "](changelog.md)" in site_pages.project_page("CONTRIBUTING.md")


def test_the_settings_of_the_site_fit_its_pages(caplog, monkeypatch):
    for module in ("mkdocs", "material", "mkdocstrings", "jupytext", "nbconvert"):
        pytest.importorskip(module)
    from mkdocs.config import load_config
    from mkdocs.structure.files import get_files
    from mkdocs.structure.nav import get_navigation

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    config = load_config(str(ROOT / "mkdocs.yml"), strict=True)
    files = config.plugins.on_files(get_files(config), config=config)
    navigation = get_navigation(files, config)
    assert len(navigation.pages) > 45
    assert not caplog.records
    assert "reference/attacks.md" in files.src_uris
    assert "tutorials/certify.ipynb" in files.src_uris


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, its tutorials not run."""
    for module in ("mkdocs", "material", "mkdocstrings", "jupytext", "nbconvert"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("site")
    build.build_site(folder, None)
    return folder


@pytest.mark.slow
def test_every_public_name_has_an_anchor(site):
    for package, name in public_names():
        page = (site / "reference" / f"{package}.html").read_text("utf-8")
        assert f'id="wbad_jax.{package}.{name}"' in page, name


@pytest.mark.slow
def test_examples_are_shown_as_code(site):
    """Under the title "Example" they would be a quotation in running text."""
    for package in {package for package, _ in public_names()}:
        page = (site / "reference" / f"{package}.html").read_text("utf-8")
        assert 'class="gp"' in page  # a prompt
        assert "<summary>Example</summary>" not in page


@pytest.mark.slow
def test_a_warning_stops_the_build(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs")
    config = f"site_name: x\ndocs_dir: {tmp_path / 'docs'}\n"
    config += "validation: {links: {not_found: warn}}\n"
    (tmp_path / "mkdocs.yml").write_text(config)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nowhere](nowhere.md)")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="nowhere"):
        build.build_site(tmp_path / "site", None)


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 45
    loaded = r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//|<link[^>]*href="https?://'
    for page in pages:
        found = re.search(loaded, page.read_text("utf-8"))
        assert found is None, (page.name, found and found[0])


@pytest.mark.slow
def test_nothing_else_of_docs_is_in_the_site(site):
    ends = {path.suffix for path in site.rglob("*") if path.is_file()}
    assert not ends & {".py", ".pyc", ".md"}
    assert not (site / "figures").exists()


@pytest.mark.slow
@needs_chromium
def test_the_search_works_from_a_file(site, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    no_network = "--host-resolver-rules=MAP * ~NOTFOUND"
    with chromium(tmp_path, no_network) as browser:
        browser.get((site / "index.html").as_uri())
        query = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
        browser.execute_script("arguments[0].focus()", query)
        browser.execute_script(
            "arguments[0].value = 'checkerboard';"
            "arguments[0].dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}))",
            query,
        )
        css = "a.md-search-result__link"
        found = WebDriverWait(browser, 60).until(
            lambda b: [
                e.get_attribute("href") for e in b.find_elements("css selector", css)
            ]
        )
        assert any("wavelets.html" in address for address in found)

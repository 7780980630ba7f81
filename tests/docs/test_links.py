"""Links between the pages, and from the files at the top, lead somewhere."""

import pathlib
import re

import pytest

from docs import site_pages, tutorial_pages

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOP = [ROOT / name for name in site_pages.PROJECT_PAGES]
PAGES = sorted([*DOCS.rglob("*.md"), *TOP, *tutorial_pages.FOLDER.glob("*.py")])
pytestmark = pytest.mark.fast


def prose(text):
    """Without code, and of a tutorial the text of its cells."""
    text = (
        re.sub(r"^# ?(?!%%)", "", text, flags=re.MULTILINE) if "# %%" in text else text
    )
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(text):
    """Targets that are no addresses of the net, with their anchors."""
    found = re.findall(r"\]\(([^)]+)\)", prose(text))
    return [link for link in found if not re.match(r"https?:|mailto:", link)]


def anchors(text):
    """Of the headings, as MkDocs and GitHub make them."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    names = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    cleaned = [re.sub(r"[^\w\s-]", "", name).strip().lower() for name in names]
    return {re.sub(r"[-\s]+", "-", name) for name in cleaned}


def generated():
    """Pages of the site that are made from something else, with their text if known."""
    pages = dict.fromkeys(site_pages.reference_pages(), None)
    for source, address in site_pages.PROJECT_PAGES.items():
        pages[address] = (ROOT / source).read_text("utf-8")
    for name in tutorial_pages.names():
        pages[f"tutorials/{name}.md"] = None
    return {(DOCS / address).resolve(): text for address, text in pages.items()}


def problems(page, text, made):
    """Links of a text that lead nowhere."""
    for link in links(text):
        name, _, anchor = link.partition("#")
        # A cell's text is read by people in the site, one folder below the pages.
        target = (page.parent / name).resolve() if name else page
        if target in made:
            there = made[target]
        elif target.is_file():
            there = target.read_text("utf-8") if target.suffix == ".md" else None
        else:
            yield f"{link}: no such file"
            continue
        if anchor and there is not None and anchor not in anchors(there):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert list(problems(page, page.read_text("utf-8"), generated())) == []


def test_a_wrong_link_is_seen():
    text = (
        "[a](nowhere.md) [b](data.md#nothing) [c](data.md#what-is-read) [d](#e)\n## E"
    )
    found = list(problems(DOCS / "faq.md", text, generated()))
    assert found == [
        "nowhere.md: no such file",
        "data.md#nothing: no such heading",
        "#e: no such heading",
    ]

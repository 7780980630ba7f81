"""Pages of the site that are no files of `docs/`: a hook of MkDocs, see `mkdocs.yml`.

They are the reference, the Markdown files at the top of the repository, the configs,
and the tutorials, with their results if `docs.tutorial_pages` has run them before.
"""

import ast
import os
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
# MkDocs loads a hook by its path, from wherever it was started.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs import tutorial_pages  # noqa: E402

# Files at the top, and where the site has them.
PROJECT_PAGES = {
    "README.md": "project/overview.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
# Modules without `__all__` whose public functions are for users.
MODULES = ("devices", "types")
CONFIGS = ("default", "evaluation_fields", "quickstart", "image_folder")
# Folder of executed tutorials; unset: pages show their code alone.
TUTORIALS = "WBAD_TUTORIALS"


def public_names(package: str) -> list[str]:
    """`__all__` of a package of wbad_jax, read without importing it."""
    text = (ROOT / "wbad_jax" / package / "__init__.py").read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            return ast.literal_eval(node.value)
    raise ValueError(f"wbad_jax.{package} needs __all__.")


def packages() -> list[str]:
    """Names of the packages of wbad_jax."""
    return sorted(path.parent.name for path in ROOT.glob("wbad_jax/*/__init__.py"))


def docstring(path: pathlib.Path) -> str:
    """Of a module, read without importing it."""
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def reference_pages() -> dict[str, str]:
    """Markdown of the reference by address, each name on the page of its package."""
    pages = {}
    for package in packages():
        name = f"wbad_jax.{package}"
        about = docstring(ROOT / "wbad_jax" / package / "__init__.py")
        entries = [f"::: {name}.{member}" for member in sorted(public_names(package))]
        pages[f"reference/{package}.md"] = "\n\n".join([f"# {name}", about, *entries])
    for module in MODULES:
        # The module's own docstring comes with the entry.
        options = "    options: {show_root_heading: false, show_root_toc_entry: false}"
        entry = f"::: wbad_jax.{module}\n{options}"
        pages[f"reference/{module}.md"] = f"# wbad_jax.{module}\n\n{entry}"
    pages["reference/index.md"] = _reference_index()
    pages["reference/settings.md"] = _settings()
    return pages


def _reference_index() -> str:
    lines = [
        "# Reference",
        "Every name that `from wbad_jax import PACKAGE` offers, from its docstring. "
        "What is not listed here is internal and may change at any time, see "
        "[versions](../versioning.md).",
    ]
    rows = [
        (package, docstring(ROOT / "wbad_jax" / package / "__init__.py"))
        for package in packages()
    ]
    rows += [(m, docstring(ROOT / "wbad_jax" / f"{m}.py")) for m in MODULES]
    table = ["| | |", "|---|---|"]
    for name, about in rows:
        first = " ".join(about.split("\n\n")[0].split())
        table.append(f"| [`wbad_jax.{name}`]({name}.md) | {first} |")
    settings = "[Settings of a run](settings.md) has every field of a config."
    return "\n\n".join([*lines, "\n".join(table), settings])


def _settings() -> str:
    parts = [
        "# Settings of a run",
        "Every field of a config with its default, as they stand in `configs/`. Change "
        "one on the command line, `--config.training.batch_size=32`; a field that does "
        "not exist is an error. Recipes such as `quickstart` change some lines of "
        "`default`.",
    ]
    for name in CONFIGS:
        text = (ROOT / "configs" / f"{name}.py").read_text("utf-8").rstrip()
        parts.append(f"## configs/{name}.py\n\n````python\n{text}\n````")
    return "\n\n".join(parts)


def project_page(source: str) -> str:
    """A Markdown file of the top folder, with links as the site has them."""
    text = (ROOT / source).read_text("utf-8")

    def moved(match: re.Match) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        if target in PROJECT_PAGES:
            return f"]({pathlib.PurePosixPath(PROJECT_PAGES[target]).name}{anchor})"
        return f"](../{target.removeprefix('docs/')}{anchor})"

    link = r"\]\((?P<target>(?!https?:|#|mailto:)[^)#]+)(?P<anchor>#[^)]*)?\)"
    return re.sub(link, moved, text)


def pages() -> Iterator[tuple[str, str | bytes]]:
    """Address and content of every page and file that is made here."""
    yield from reference_pages().items()
    for source, address in PROJECT_PAGES.items():
        yield address, project_page(source)
    folder = os.environ.get(TUTORIALS)
    for name in tutorial_pages.names():
        executed = folder and pathlib.Path(folder) / f"{name}.ipynb"
        yield from tutorial_pages.page(name, executed or None)


def on_files(files, config):
    """MkDocs: the files of the site."""
    from mkdocs.structure.files import File

    for address, content in pages():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """MkDocs: links out of `docs/` go to the page of that file."""
    for source, address in PROJECT_PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({address}")
    return markdown

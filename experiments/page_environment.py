"""How templates of pages are filled in: all text escaped, no name left out."""

import pathlib

import jinja2


def page_environment(folder: pathlib.Path) -> jinja2.Environment:
    """The environment of the templates in a folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )

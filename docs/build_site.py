"""Builds the documentation as a site: ``python docs/build_site.py``, or ``make docs``.

It is in ``build/docs/site`` then. The pages are those of this directory and of the one above, as they lie, so that
their links are right in both places. Those about names are made from the docstrings of what public modules export.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build" / "docs"
ABOVE: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
PACKAGE: Final = "session_ctx_middleware"
MODULES: Final = (
    "",
    ".sessions",
    ".resolution",
    ".links",
    ".templating",
    ".switcher",
    ".debug_panel",
    ".fastapi",
    ".emporix",
    ".stores",
    ".stores.redis",
    ".health",
    ".telemetry",
    ".testing",
    ".testing.plugin",
    ".testing.store_rules",
)
"""The public modules, in the order in which a reader needs them."""
FIRST: Final = ("SessionContext", "SessionContextMiddleware")

PAGES: Final = {
    "Start": ("why", "quickstart", "tutorial", "pitfalls", "migrating"),
    "Build": ("fastapi", "templates", "tokens", "sites", "testing", "debug_panel"),
    "In production": ("configuration", "workers", "caches", "observability", "errors", "security", "performance"),
    "More": ("resolution", "compatibility", "cli", "versions", "architecture", "glossary"),
}
CONFIG: Final = """
site_name: {package}
docs_dir: pages
site_dir: site
theme: {{name: material, font: false, features: [navigation.sections, content.code.copy]}}
markdown_extensions: [toc, tables, attr_list, pymdownx.highlight, pymdownx.superfences]
plugins:
  - search
  - mkdocstrings:
      handlers:
        python:
          paths: ["{root}"]
          options:
            docstring_style: google
            heading_level: 2
            inherited_members: true
            members_order: source
            show_source: false
            show_root_heading: true
            show_if_no_docstring: false
            filters: ["!^_"]
nav:
{nav}
"""


def main() -> int:
    """Build the site, and fail where a link, an anchor or a name leads nowhere.

    Returns:
        The exit status.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = BUILD / "pages"
    shutil.copytree(ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(ROOT / "README.md", pages / "index.md")
    for name in ABOVE:
        shutil.copy(ROOT / name, pages / name)
    names = _pages_of_names(pages / "names")
    config = CONFIG.format(package=PACKAGE, root=ROOT, nav=_navigation(names))
    (BUILD / "mkdocs.yml").write_text(config, "utf-8")
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=BUILD, check=False).returncode


def _pages_of_names(directory: Path) -> list[str]:
    """Write a page for each public module, and return their names."""
    directory.mkdir(parents=True)
    written = []
    for module in MODULES:
        full = PACKAGE + module
        names = import_module(full).__all__
        ordered = [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]
        blocks = [f"::: {full}.{name}" for name in ordered if not name.startswith("__")]
        (directory / f"{full}.md").write_text("\n\n".join([f"# `{full}`", *blocks, ""]), "utf-8")
        written.append(full)
    return written


def _navigation(names: list[str]) -> str:
    lines = ["  - index.md"]
    for title, pages in PAGES.items():
        lines += [f"  - {title}:", *(f"      - docs/{page}.md" for page in pages)]
    lines += ["  - Reference:", "      - docs/reference.md", *(f"      - names/{name}.md" for name in names)]
    return "\n".join([*lines, "  - CHANGELOG.md", "  - CONTRIBUTING.md", "  - SECURITY.md"])


if __name__ == "__main__":
    sys.exit(main())

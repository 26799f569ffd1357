"""What an index shows of this project: the README with links that lead somewhere from there, and those beside it.

Hatchling calls this while it builds. Where the project lives is said in one place: `repository` in `pyproject.toml`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK: Final = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!https?://)(?P<target>[^)]+)\)")


class IndexMetadata(MetadataHookInterface):
    """Sets the fields `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in both fields.

        Args:
            metadata: the table `project`, changed in place.
        """
        repository = str(self.config["repository"]).rstrip("/")
        text = (Path(self.root) / "README.md").read_text("utf-8")
        release = f"v{metadata['version']}"
        metadata["readme"] = {"content-type": "text/markdown", "text": readme(text, repository, release)}
        metadata["urls"] = links(repository, release)


def readme(text: str, repository: str, release: str) -> str:
    """Return a page whose relative links lead into a release.

    Args:
        text: the page, in Markdown.
        repository: the address of the repository; empty where nobody knows it yet: a link becomes its text then, and a
            picture is left out, since either would lead nowhere.
        release: the tag of the release.
    """

    def absolute(link: re.Match[str]) -> str:
        picture, words, target = link["picture"], link["text"], link["target"]
        if not repository:
            return "" if picture else words
        kind = "raw" if picture else "tree" if target.endswith("/") else "blob"
        return f"{picture}[{words}]({repository}/{kind}/{release}/{target})"

    return LINK.sub(absolute, text)


def links(repository: str, release: str) -> dict[str, str]:
    """Return the links of the project by their names, none where nobody knows where it lives."""
    if not repository:
        return {}
    return {
        "Homepage": repository,
        "Documentation": f"{repository}/tree/{release}/docs",
        "Changelog": f"{repository}/blob/{release}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Security": f"{repository}/security",
    }

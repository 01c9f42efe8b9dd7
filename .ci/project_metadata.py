# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What of the package's metadata depends on where it is built.

README.md links to files beside it, which PyPI's page does not have. Where the package is built by a
workflow of GitHub, the links lead into that repository, and its addresses are the project's; built
anywhere else, README.md stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<anchor>#[^)]*)?\)")


def repository_address(environment: Mapping[str, str]) -> str | None:
    """Where the repository is that builds this; None where nothing says so."""
    server, name = environment.get("GITHUB_SERVER_URL"), environment.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if server and name else None


def link_absolutely(text: str, repository: str, reference: str) -> str:
    """Markdown whose links to files of the repository lead there, at a tag or a branch."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        address = f"{repository}/{kind}/{reference}/{link['path']}{link['anchor'] or ''}"
        return f"{link['image']}[{link['text']}]({address})"

    return LINK.sub(absolute, text)


class ProjectMetadata(MetadataHookInterface):
    """Sets `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = repository_address(os.environ)
        urls = {}
        if repository is not None:
            reference = os.environ.get("GITHUB_REF_NAME", "main")
            text = link_absolutely(text, repository, reference)
            urls = {
                "Source": repository,
                "Issues": f"{repository}/issues",
                "Changelog": f"{repository}/blob/{reference}/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The shipped templates, styles and scripts, put together; what is filled in is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeinfer.base import assets
from edgeinfer.base.names import writable
from edgeinfer.base.version import __version__
from edgeinfer.report.draw.marks import Figure
from edgeinfer.report.draw.style import style_attribute

if TYPE_CHECKING:
    from jinja2 import Environment


def html_page(template: str, values: Mapping[str, Any]) -> str:
    """A page that needs nothing but itself."""
    style = assets.text("reports/assets/figure.css") + assets.text("reports/assets/page.css")
    script = assets.text("reports/assets/page.js")
    page = _environment().get_template(template)
    return writable(
        page.render(
            version=__version__,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            **values,
        )
    )


def svg_file(figure: Figure) -> str:
    """A picture as a file of its own, in which every mark says how it looks."""
    page = _environment().get_template("figure.svg.j2")
    return writable(page.render(alone=figure, look=style_attribute).strip() + "\n")


def render(template: str, values: Mapping[str, Any]) -> str:
    """A text that is escaped as its template's name demands: XML, or plain."""
    return writable(_environment().get_template(template).render(**values))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(assets.path("reports/templates")),
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),
        undefined=StrictUndefined,
        trim_blocks=False,
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""C++ text from the templates that ship under `firmware/hls`."""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from edgeinfer.base import assets


def rendered(name: str, **values: Any) -> str:
    """A template, filled in; a value that is missing is an error."""
    return _template(name).render(**values)


@functools.cache
def _template(name: str) -> Template:
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(assets.text(name))

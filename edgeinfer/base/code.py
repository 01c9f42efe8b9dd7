# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Code from the templates that ship under `firmware`: Verilog, C++, Tcl, Makefiles, constraints.

Nothing gets into code but numbers and the checked texts of `edgeinfer.base.names`: a plain string
is an error, because it may be a name from a model, and a name may hold code.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeinfer.base import assets
from edgeinfer.base.names import CodeText, Operand, OwnText

if TYPE_CHECKING:
    from jinja2 import Template


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """A shipped template, filled in; what is missing is an error, and so is raw text."""
    return _template(template).render(values)


@functools.cache
def _template(name: str) -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=check_value,
    )
    environment.filters |= {"own": OwnText, "decimals": decimals}
    return environment.from_string(assets.text(name))


def check_value(value: Any) -> Any:
    """What a template puts into code, if it may."""
    from jinja2 import Undefined

    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number or isinstance(value, CodeText | Undefined):
        return value
    raise TypeError(f"{value!r:.80} is raw text: a template for code takes checked text only.")


def decimals(value: float, count: int) -> Operand:
    """A number with so many decimals."""
    return Operand(f"{value:.{count}f}")

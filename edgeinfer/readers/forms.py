# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sentences that say which forms can be read, in place of what cannot: looked up by kind."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping

from edgeinfer.base import assets


@functools.cache
def forms_of(table: str) -> Mapping[str, str]:
    """Kind -> form, of a table in `reports/forms`, which lists kinds by form. A kind has one."""
    forms: dict[str, str] = {}
    for form, kinds in tomllib.loads(assets.text(f"reports/forms/{table}.toml")).items():
        for kind in kinds.split():
            if kind in forms:
                raise ValueError(f"{kind} has two forms: {forms[kind]!r} and {form!r}")
            forms[kind] = form
    return forms

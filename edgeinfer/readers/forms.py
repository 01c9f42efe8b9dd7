# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sentences that say which forms can be read, in place of what cannot: looked up by kind."""

from __future__ import annotations

from collections.abc import Mapping


def by_kind(kinds_of_forms: Mapping[str, str]) -> Mapping[str, str]:
    """Kind -> form, from form -> kinds with spaces between them. A kind has one form."""
    forms: dict[str, str] = {}
    for form, kinds in kinds_of_forms.items():
        for kind in kinds.split():
            if kind in forms:
                raise ValueError(f"{kind} has two forms: {forms[kind]!r} and {form!r}")
            forms[kind] = form
    return forms

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Names from a model, made fit for emitted code, for XML and for a terminal.

A name is someone else's text: it may hold quotes, line breaks, or a whole Verilog module. Templates
for code take only the types below, each of which checks what it holds; see `edgeinfer.base.code`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from typing import ClassVar, Self

LONGEST_NAME = 64  # of an identifier made of a name; files are called after it
LONGEST_REMARK = 120  # of a name in a comment
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
OWN_WORDS = re.compile(r"(ei|tb|tap|u)(_|$)")  # how modules, taps and instances of ours begin


class CodeText(str):
    """Text that a template for code may hold; each kind checks that it is what it says."""

    __slots__ = ()
    PATTERN: ClassVar[re.Pattern[str]]

    def __new__(cls, text: str) -> Self:
        if cls is CodeText or not cls.PATTERN.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is no {cls.__name__}.")
        return super().__new__(cls, text)


class Identifier(CodeText):
    """A name in Verilog, C++, Tcl or a Makefile."""

    __slots__ = ()
    PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Variable(CodeText):
    """A name, or a member of a struct by its name."""

    __slots__ = ()
    PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class QuotedText(CodeText):
    """What stands between double quotes, or alone as the name of a file, in any language."""

    __slots__ = ()
    PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Operand(CodeText):
    """A number, a sized number, a slice of a net, or a type: words and what joins them."""

    __slots__ = ()
    PATTERN = re.compile(r"[A-Za-z0-9_.,:'<>\[\] *+-]+")


class CommentText(CodeText):
    """What stands in a comment of one line; see `remark`."""

    __slots__ = ()
    PATTERN = re.compile(rf"[\w %.,:;()<>\[\]='?+-]{{0,{LONGEST_REMARK}}}")


class OwnText(CodeText):
    """Text of ours, or hls4ml's, in which all names have been identifiers from the start."""

    __slots__ = ()
    PATTERN = re.compile(r".*", re.DOTALL)


def identifier(name: str, beginning: str = "v") -> Identifier:
    """A name that every tool takes as an identifier, and every disk in the name of a file; with
    another beginning where its own would not do."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    if not plain[:1].isalpha() or OWN_WORDS.match(plain.lower()):
        plain = f"{beginning}_{plain}" if plain else beginning
    if len(plain) > LONGEST_NAME:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        plain = f"{plain[: LONGEST_NAME - 9].rstrip('_')}_{digest}"
    return Identifier(plain)


def free_name(name_wanted: str, *used_names: Container[str]) -> str:
    """The name, or the first of name_2, name_3, ... that is in none of the collections."""
    name, number = name_wanted, 1
    while any(name in names for names in used_names):
        number += 1
        name = f"{name_wanted}_{number}"
    return name


def remark(text: str) -> CommentText:
    """Words for a comment: one line, in which nothing ends the comment or goes on after it."""
    short = text if len(text) <= LONGEST_REMARK else text[: LONGEST_REMARK - 3] + "..."
    return CommentText(re.sub(r"[^\w %.,:;()<>\[\]='?+-]", "?", short))


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """One line in which no name from a file can drive a terminal."""
    return "".join(c if c.isprintable() else instead for c in text)


def writable(text: str) -> str:
    """Without the characters that no HTML, XML or UTF-8 file may hold."""
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Blocks for sites inside hls4ml: a class whose functions lie in `firmware/hls/nnet_sites.h`."""

from __future__ import annotations

import functools
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.layers import register_layer

from edgeinfer.base import assets
from edgeinfer.targets.hls.project.hls4ml_layer import HEADERS, Exact, fill_call, fill_config
from edgeinfer.targets.hls.project.layout import SITE_BLOCK
from edgeinfer.targets.hls.settings import Backend

SITES_HEADER = "nnet_sites.h"


class SiteBlock(Exact):
    """A layer that reads lists of sites, or makes one."""


class SiteConfig(LayerConfigTemplate):  # type: ignore[misc]  # hls4ml has no types
    """The constants and types as a struct."""

    def __init__(self) -> None:
        super().__init__(SiteBlock)

    def format(self, node: Any) -> str:
        """The struct's text."""
        return fill_config(node)


class SiteCall(FunctionCallTemplate):  # type: ignore[misc]
    """The block's call."""

    def __init__(self) -> None:
        super().__init__(SiteBlock, include_header=[f"nnet_utils/{SITES_HEADER}"])

    def format(self, node: Any) -> str:
        """The call's text."""
        return fill_call(f"{HEADERS}/site_call.h.j2", node)


@functools.cache
def register_site_blocks(backend: Backend) -> None:
    """Tell hls4ml of the blocks, once for each backend."""
    owner = get_backend(str(backend))
    register_class_once()
    owner.register_template(SiteConfig)
    owner.register_template(SiteCall)
    owner.register_source(assets.path(f"{HEADERS}/{SITES_HEADER}"))


@functools.cache
def register_class_once() -> None:
    """The same class for all backends."""
    register_layer(SITE_BLOCK, SiteBlock)

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sites, and what is done at them alone, as layers of ours: `firmware/hls/nnet_sites.h`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.targets.hls.project.exact_layers import store_integers
from edgeinfer.targets.hls.project.layout import SITE_BLOCK
from edgeinfer.targets.hls.project.spec import exactly

if TYPE_CHECKING:
    from edgeinfer.targets.hls.project.layout import ProjectLayout


def place_sites(layout: ProjectLayout, op: ops.Sites) -> None:
    """The first lit pixels of an image. A threshold below the type of what it reads makes every
    pixel lit, and one above it none, as its largest number does."""
    shape, type_ = layout.program.shapes[op.x], layout.program.type(op.x)
    pixels = math.prod(shape[:-1])
    threshold = min(max(op.threshold, type_.raw_min), type_.raw_max)
    limits = store_integers("limits", np.array([threshold]), type_.frac, signed=type_.signed)
    layout.exact(
        op, "first", (layout.of_value[op.x],), layout.program.shapes[op.name], exactly(op.type),
        constants={
            "pixels": pixels,
            "channels": shape[-1],
            "most": min(op.most or pixels, pixels),
            "always": int(op.threshold < type_.raw_min),
        },
        stored=(limits,), kind=SITE_BLOCK,
    )  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What each step of a run reads beside its options and inputs: nothing else redoes it.

A step that reads another one's file depends on that file's content, which is an input. So the step
that emits a project from the stored Program does not depend on the readers of model files.
"""

from __future__ import annotations

from edgeinfer.base.reads import Reads
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.target import Act

_NUMBERS = Reads(code=("edgeinfer.base", "quantization"), libraries=("numpy",))
_MODEL = _NUMBERS | Reads(
    code=("edgeinfer.graph", "edgeinfer.readers", "edgeinfer.run.trial"),
    libraries=("flatbuffers", "h5py", "onnx"),
)
_SAMPLES = Reads(
    code=("edgeinfer.data", "edgeinfer.run.samples"), libraries=("h5py", "scipy", "uproot")
)
_PROGRAM = _NUMBERS | Reads(
    code=("edgeinfer.graph", "edgeinfer.ir", "edgeinfer.run.trial"), libraries=("onnxruntime",)
)
_EVALUATION = _SAMPLES | Reads(code=("edgeinfer.evaluate",))

LOAD = _MODEL | Reads(code=("edgeinfer.run.steps",))
LOWER = (
    _MODEL
    | _PROGRAM
    | _EVALUATION
    | Reads(
        code=(
            "edgeinfer.export",
            "edgeinfer.precision",
            "edgeinfer.run.defaults",
            "edgeinfer.run.lower",
            "edgeinfer.run.result",
            "edgeinfer.run.steps",
        )
    )
)
SIMULATE = _PROGRAM | _EVALUATION
EVALUATE = _MODEL | _PROGRAM | _EVALUATION
DIVIDE = _NUMBERS | _SAMPLES | Reads(code=("edgeinfer.run.tailoring",))
TRAIN = DIVIDE | Reads(code=("edgeinfer.zoo",), libraries=("keras", "tensorflow"))
LEARN = (
    LOWER
    | TRAIN
    | Reads(
        code=(
            "edgeinfer.run.data",
            "edgeinfer.run.learned",
            "edgeinfer.run.learned_costs",
            "edgeinfer.run.teachers",
            "edgeinfer.targets",
        )
    )
)
PROFILE = EVALUATE | Reads(code=("edgeinfer.run.lower", "edgeinfer.run.report"))


def reads_of(chosen: ChosenTarget, act: Act) -> Reads:
    """What a step about a target's project reads."""
    own = chosen.target.reads(act) | chosen.target.reads_for(chosen.settings)
    match act:
        case Act.EMIT | Act.ESTIMATE:
            own |= Reads(code=("edgeinfer.run.emit",))
            return own | EVALUATE if chosen.target.learns else own
        case Act.SIMULATE:
            return own | EVALUATE | Reads(code=("edgeinfer.run.simulate",))
        case Act.TOOLS:
            return own | Reads(code=("edgeinfer.run.tools",))

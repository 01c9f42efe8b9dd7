# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``board``: samples to a board and back, held against the engine."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from edgeinfer.cli.terminal import answer, progress
from edgeinfer.cli.verbs import Data, Json, Run


def board(
    run: Run,
    /,
    *,
    port: Annotated[
        str | None,
        Parameter(help="the serial port of the board, /dev/ttyUSB0 or COM3; simulated by default"),
    ] = None,
    samples: Annotated[int, Parameter(help="how many samples to send")] = 4,
    data: Data = None,
    json: Json = False,
) -> None:
    """Send samples to a board with a run's design; exit code 5 if it is not exact."""
    from edgeinfer.base.errors import DisagreementError
    from edgeinfer.run.board import board_agreement
    from edgeinfer.run.folder import open_run

    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        found = board_agreement(folder, data=data, count=samples, port=port)
    where = "simulated from pin to pin" if port is None else f"at {port}"
    verdict = "bit-identical" if found.bit_identical else "DIFFERENT"
    prose = f"engine = board ({where}): {verdict}, {found.samples} samples"
    answer(json_text.dumps(asdict(found) | {"port": port}, indent=2), [prose], as_json=json)
    if not found.bit_identical:
        raise DisagreementError(
            f"{run}: the board ({where}) and the engine do not agree; outputs differ by at most "
            f"{found.max_abs_diff:g}.",
            hint="Load the design of this run onto the board.",
        )

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of ``board``: a run's design built for its board, loaded, run, and tested."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from edgeinfer.cli.options import Data, Json, Run
from edgeinfer.cli.terminal import Line, answer, progress

if TYPE_CHECKING:
    from edgeinfer.base.metrics import Metric
    from edgeinfer.run.board import BoardTrial

Port = Annotated[
    str | None,
    Parameter(help="the board's serial port, /dev/ttyUSB0 or COM3; found by its USB chip"),
]
Simulate = Annotated[
    bool,
    Parameter(
        name="--simulate", negative="", help="simulate the board from pin to pin, with Verilator"
    ),
]

board = App(
    name="board", help="Bring a run's design onto its board, and compare the board with the engine."
)


@board.command(name="list")
def list_boards(*, json: Json = False) -> None:
    """The boards that there are: part, clock, line, and what they need."""
    from edgeinfer.targets.registry import known_targets

    boards = [
        description for entry in known_targets().values() for description in entry.make().boards()
    ]
    document = {"boards": [description.document for description in boards]}
    lines = [line for description in boards for line in description.lines]
    answer(document, lines, as_json=json)


@board.command
def build(
    run: Run,
    /,
    *,
    minutes: Annotated[float, Parameter(help="that all tools together may take")] = 60.0,
    retune: Annotated[
        bool,
        Parameter(
            negative="",
            help="route once more, with the board's clock set to what the first routing reached",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make the bitstream of a run's design, as it is delivered with its shell, pins and clock."""
    from edgeinfer.run.board import build_board
    from edgeinfer.run.folder import open_run

    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        built = build_board(folder, minutes, retune=retune)
    document = {
        "bitstream": str(built.bitstream),
        "metrics": [asdict(metric) for metric in built.metrics],
    }
    lines = [f"bitstream {built.bitstream}", *map(_figure, built.metrics)]
    answer(document, lines, as_json=json)


@board.command
def load(run: Run, /, *, json: Json = False) -> None:
    """Put the bitstream of a run onto the board, with openFPGALoader."""
    from edgeinfer.run.board import load_board
    from edgeinfer.run.folder import open_run

    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        answer_text = load_board(folder)
    answer({"loaded": answer_text}, [answer_text], as_json=json)


@board.command(name="run")
def run_(
    run: Run,
    /,
    *,
    data: Data = None,
    samples: Annotated[
        int | None,
        Parameter(help="how many to send; all by default, a few if simulated"),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="scores.npz, by the outputs' names"),
    ] = None,
    port: Port = None,
    simulate: Simulate = False,
    json: Json = False,
) -> None:
    """Send samples to a board and keep its scores; exit code 5 if one bit differs from the
    engine's."""
    from edgeinfer.run.board import BoardPort, run_board, sample_count
    from edgeinfer.run.folder import open_run

    board_port = BoardPort(_port(port, simulate), simulate)
    count = sample_count(samples, drawn=False, simulated=simulate)
    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        trial = run_board(folder, data=data, count=count, port=board_port)
    if output is not None:
        from edgeinfer.base.plan import write_file
        from edgeinfer.data.formats.npz import pack_arrays

        write_file(output, pack_arrays(trial.scores))
    _conclude(trial, run, output, as_json=json)


@board.command
def test(
    run: Run,
    /,
    *,
    samples: Annotated[
        int | None,
        Parameter(help="frames; 1,000 by default, fewer if simulated"),
    ] = None,
    port: Port = None,
    simulate: Simulate = False,
    json: Json = False,
) -> None:
    """Ask a board for its design, and send it frames drawn from all that the inputs can hold; exit
    code 5 if one bit differs from the engine's."""
    from edgeinfer.run.board import BoardPort, run_board, sample_count
    from edgeinfer.run.folder import open_run

    board_port = BoardPort(_port(port, simulate), simulate)
    count = sample_count(samples, drawn=True, simulated=simulate)
    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        trial = run_board(folder, data=None, count=count, port=board_port, drawn=True)
    _conclude(trial, run, None, as_json=json)


def _port(port: str | None, simulate: bool) -> str | None:
    from edgeinfer.base.errors import UsageError

    if port is not None and simulate:
        raise UsageError("A simulated board has no port.", hint="Leave out --port or --simulate.")
    return port


def _figure(metric: Metric) -> str:
    note = f" ({metric.note})" if metric.note else ""
    return f"{metric.name:<16} {metric.value:>12,.6g} {metric.unit:<8} {metric.origin}{note}"


def _conclude(trial: BoardTrial, run: Path, output: Path | None, *, as_json: bool) -> None:
    """Show what a board did; an error where it is not the engine."""
    from edgeinfer.base.errors import DisagreementError

    agreement = trial.agreement
    verdict = "bit-identical" if agreement.bit_identical else "DIFFERENT"
    lines: list[Line] = [
        f"engine = board: {verdict}, {agreement.samples} samples, on {trial.where}"
    ]
    lines += map(_figure, trial.metrics)
    if output is not None:
        lines.append(f"written   {output}")
    document = asdict(agreement) | {
        "where": trial.where,
        "metrics": [asdict(metric) for metric in trial.metrics],
        "output": None if output is None else str(output),
    }
    answer(document, lines, as_json=as_json)
    if not agreement.bit_identical:
        raise DisagreementError(
            f"{run}: the board and the engine do not agree; outputs differ by at most "
            f"{agreement.max_abs_diff:g}. It was {trial.where}.",
            hint="Build and load the design of this run again; then please report it.",
        )

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The command line: which verbs there are, and what a shell sees when one of them fails.

A verb's module is imported when the verb is called, so that the overview answers at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.base.errors import EdgeInferError, ToolFailedError, UsageError
from edgeinfer.base.names import printable
from edgeinfer.base.signals import TerminationRequest, terminable
from edgeinfer.base.version import __version__

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

INTERRUPTED, BROKEN_PIPE, BUG = 130, 141, 70
SIGNALLED = 128  # and the signal's number, as a shell tells it
START_AGAIN = "The same command starts again from the beginning."


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb's function is, what follows the verb, and what it is for."""

    function: str
    words: str
    purpose: str


VERBS = {
    "demo": Verb("edgeinfer.cli.demo:demo", "", "show everything on the hit tagger, in minutes"),
    "doctor": Verb(
        "edgeinfer.cli.verbs:doctor",
        "",
        "show what this machine can do, what is missing, how to get it",
    ),
    "models": Verb(
        "edgeinfer.cli.zoo:models",
        "",
        "list the reference models: how big they are, how well they do",
    ),
    "train": Verb("edgeinfer.cli.zoo:train", "NAME", "train a reference model on simulated data"),
    "tailor": Verb(
        "edgeinfer.cli.tailor:tailor",
        "NAME --data d.arff",
        "from a file of samples to small hardware: train, learn widths, compile, judge",
    ),
    "data": Verb(
        "edgeinfer.cli.zoo:data",
        "NAME | --preview p.png",
        "write a reference model's simulated data, or a picture of them",
    ),
    "convert": Verb(
        "edgeinfer.cli.convert:convert",
        "DATA",
        "write data of any format as HDF5, mixed or divided by event",
    ),
    "fit": Verb(
        "edgeinfer.cli.fit:fit",
        "MODEL --device D --data d.npz",
        "show in how many bits, and on which target, a model fits",
    ),
    "quantize": Verb(
        "edgeinfer.cli.quantize:quantize",
        "MODEL --bits N",
        "choose number formats, and train weights for them",
    ),
    "search": Verb(
        "edgeinfer.cli.quantize:search",
        "MODEL --budget 0.5",
        "search a width for every tensor under a budget",
    ),
    "compile": Verb(
        "edgeinfer.cli.verbs:compile_",
        "MODEL --target hls",
        "turn a model into its integer Program and into targets, and try them",
    ),
    "simulate": Verb(
        "edgeinfer.cli.verbs:simulate",
        "RUN --stage engine,csim",
        "try a run's Program and targets again, on more or other samples",
    ),
    "board": Verb(
        "edgeinfer.cli.board:board",
        "list | build | load | run | test",
        "bring a run's design onto its board, real or simulated, and run it",
    ),
    "explain": Verb(
        "edgeinfer.cli.verbs:explain",
        "RUN",
        "show the first value in which two stages differ, and why",
    ),
    "export": Verb(
        "edgeinfer.cli.export:export",
        "RUN --format qonnx",
        "write the integer network of a run or model as ONNX that others can check",
    ),
    "report": Verb(
        "edgeinfer.cli.report:report",
        "RUN",
        "write a run as a page: verdict, curves, layers, budgets",
    ),
    "compare": Verb(
        "edgeinfer.cli.report:compare",
        "RUN RUN --html F",
        "show runs side by side: accuracy against resources and latency",
    ),
    "check": Verb(
        "edgeinfer.cli.report:check",
        "RUN --gates gates.toml",
        "check limits and a baseline; exit code 1 if one is missed",
    ),
    "estimate": Verb(
        "edgeinfer.cli.estimate:estimate",
        "MODEL --device D",
        "estimate latency and resources in seconds, without any tool",
    ),
    "devices": Verb(
        "edgeinfer.cli.estimate:devices", "", "list parts and boards, and what they offer"
    ),
    "sweep": Verb(
        "edgeinfer.cli.sweep:sweep",
        "study.toml",
        "try many recipes, foldings and targets of a model; can be resumed",
    ),
    "event": Verb(
        "edgeinfer.cli.event:event",
        "RUN --planes N",
        "apply a compiled tagger at every hit of whole wire planes",
    ),
    "detect": Verb(
        "edgeinfer.cli.detect:detect",
        "RUN RUN --picture p.png",
        "find particles in images with a compiled detector's two networks",
    ),
    "serve": Verb(
        "edgeinfer.cli.serve:serve",
        "RUN ...",
        "answer clients of Triton (gRPC, HTTP) with what the hardware would compute",
    ),
    "infer": Verb(
        "edgeinfer.cli.ask_server:infer",
        "URL --data d.npz",
        "send samples to such a server, ours or another",
    ),
    "bench-serve": Verb(
        "edgeinfer.cli.ask_server:bench_serve",
        "URL --concurrency 1,8,64",
        "measure a server's rate and latency",
    ),
    "map": Verb(
        "edgeinfer.cli.files:map_",
        "F.tflite ...",
        "show what a vendor's compiler would make of a model file",
    ),
    "inspect": Verb(
        "edgeinfer.cli.files:inspect", "F_edgetpu.tflite", "show what a compiled file contains"
    ),
}
# What these have finished when they are interrupted is kept, and not done again.
RESUMING = frozenset({"demo", "tailor", "search", "compile", "simulate", "board", "report"})
EXIT_CODES = (
    "Exit codes: 0 ok; 1 a gate failed; 2 usage or configuration; 3 a tool is missing;\n"
    "4 a tool or the machine failed; 5 stages that must agree do not; 70 a bug of edgeinfer;\n"
    "130 interrupted; 143 ended by SIGTERM."
)


def overview() -> str:
    """What ``edgeinfer --help`` says."""
    usages = {f"{name} {verb.words}".rstrip(): verb.purpose for name, verb in VERBS.items()}
    width = max(map(len, usages))
    lines = [f"  edgeinfer {usage:<{width}}  {purpose}" for usage, purpose in usages.items()]
    return "\n".join(
        [
            f"edgeinfer {__version__}: small quantized networks, brought exactly to hardware.",
            "",
            *lines,
            "",
            "MODEL: a reference model, a .keras, .h5, .onnx or int8 .tflite file, or Keras .json",
            "beside weights.",
            "--json prints the result on stdout and nothing else; edgeinfer VERB --help says more.",
            "edgeinfer --install-completion makes your shell complete verbs and options.",
            EXIT_CODES,
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # it errs on one-channel convolutions
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with terminable():
        return run_guarded(lambda: dispatch(tokens), resumes=not RESUMING.isdisjoint(tokens[:1]))


def build_app() -> App:
    """All verbs; what one does is imported when it is called."""
    from cyclopts import App, Parameter

    quiet = Parameter(show_default=_shown_default)
    app = App("edgeinfer", version=__version__, help_format="plaintext", default_parameter=quiet)
    for name, verb in VERBS.items():
        app.command(verb.function, name=name)
    return app


def _shown_default(value: Any) -> str | None:
    """What help says of a default; nothing of what is off, or left out."""
    return None if value is None or value is False or value in ("", ()) else str(value)


def dispatch(tokens: list[str]) -> int:
    """Call the verb that the tokens name."""
    if any(not token.isprintable() and _unencodable(token) for token in tokens):
        raise UsageError(
            "An argument is not valid Unicode, so no message could name it.",
            hint="Rename the file.",
        )
    if not tokens or tokens[0] in ("--help", "-h"):
        sys.stdout.write(overview())
        return 0
    if tokens[0] == "--version":
        sys.stdout.write(f"{__version__}\n")
        return 0
    from cyclopts import CycloptsError

    app = build_app()
    if tokens[0] == "--install-completion":
        return install_completion(app, tokens[1:])
    try:
        function, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UsageError(
            _mistake(error), hint=f"{_name_verb(error)} --help lists the options."
        ) from None
    function(*bound.args, **bound.kwargs)
    sys.stdout.flush()
    return 0


def _name_verb(error: CycloptsError) -> str:
    """The verb as it was called, as far as it is known."""
    return f"edgeinfer {' '.join(error.command_chain or ('VERB',))}"


def _mistake(error: CycloptsError) -> str:
    """What is wrong with the words of a command."""
    from cyclopts import MissingArgumentError, UnusedCliTokensError

    if isinstance(error, UnusedCliTokensError):
        return f"{_name_verb(error)} does nothing with {', '.join(error.unused_tokens or ())}."
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is not None:
            return f"{error.keyword} needs a value."
        return f"{_name_verb(error)} needs {error.argument.name}."
    return str(error)


def install_completion(app: App, shells: list[str]) -> int:
    """Write the completion where the shell, the running one or another, looks for it."""
    shell = shells[0] if shells else Path(os.environ.get("SHELL", "")).name
    match shell:
        case "bash" | "zsh" | "fish":
            path = app.install_completion(shell=shell)
        case _:
            raise UsageError(
                f"There is no completion for the shell {shell!r}.",
                hint="Name one: edgeinfer --install-completion bash, zsh or fish.",
            )
    sys.stdout.write(f"Completion for {shell} is in {path}; a new shell takes it up.\n")
    return 0


def _unencodable(token: str) -> bool:
    try:
        token.encode()
    except UnicodeEncodeError:
        return True
    return False


def run_guarded(run: Callable[[], int], *, resumes: bool = False) -> int:
    """The exit code of whatever happens, told in one paragraph and never as a traceback."""
    left = "What was finished is kept: resume with the same command." if resumes else START_AGAIN
    try:
        return run()
    except EdgeInferError as error:
        return _report_error(str(error), error.exit_code)
    except TerminationRequest as error:
        kept = str(error) or left
        _say(f"edgeinfer: ended by {error.signal_name}. {kept}")
        return SIGNALLED + error.number
    except KeyboardInterrupt as error:
        kept = str(error) or left
        _say(f"edgeinfer: interrupted. {kept}")
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # whoever read our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError:
        message = (
            "The memory of this machine does not suffice. Give fewer samples or a smaller model."
        )
        return _report_error(message, ToolFailedError.exit_code)
    except OSError as error:
        return _report_error(_machine_failed(error), ToolFailedError.exit_code)
    except Exception as error:
        return _report_error(_bug(error), BUG)


def _machine_failed(error: OSError) -> str:
    from edgeinfer.base.plan import FULL, unwritable

    if error.filename is None and error.errno in FULL:
        return (
            f"No room is left on the disk ({error.strerror}). Free some space, and run the same "
            f"command again."
        )
    if error.filename is None:
        return f"The machine refused: {error}."
    return str(unwritable(Path(os.fsdecode(error.filename)), error))


def _bug(error: Exception) -> str:
    trace = "".join(traceback.format_exception(error))
    message = f"this is a bug of edgeinfer ({type(error).__name__}: {error})."
    try:
        descriptor, path = tempfile.mkstemp(prefix="edgeinfer-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"edgeinfer {__version__}, Python {sys.version}, {sys.argv}\n{trace}")
    except OSError:
        return f"{message} Please report it with this: {trace}"
    return f"{message} Please report it, with the file {path}."


def _report_error(message: Any, code: int) -> int:
    _say(f"edgeinfer: error: {message}")
    return code


def _say(text: str) -> None:
    """One paragraph on stderr; nothing in it can drive the terminal."""
    paragraph = " ".join(text.split())
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{printable(paragraph, '?')}\n")

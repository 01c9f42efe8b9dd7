# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Run commands, one a line of stdin, where the libraries of the extra [train] cannot be imported.

Each command's exit code is a line of stdout; the last line names what of these was imported.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

FORBIDDEN = {"tensorflow", "keras", "qkeras", "tf_keras", "tensorflow_model_optimization"}


class Refusal:
    """An import hook for what must not be imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Say that a forbidden module is not there; leave all others to the hooks behind."""
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def run_commands() -> None:
    """Call every command, and tell how it ended."""
    sys.meta_path.insert(0, Refusal())  # type: ignore[arg-type]
    from edgeinfer.cli.app import main

    codes = []
    for line in sys.stdin.read().splitlines():
        with contextlib.redirect_stdout(sys.stderr):
            codes.append(main(line.split()))
    sys.stdout.write("\n".join(map(str, codes)) + "\n")
    sys.stdout.write(f"imported: {sorted(FORBIDDEN & set(sys.modules))}\n")


if __name__ == "__main__":
    run_commands()

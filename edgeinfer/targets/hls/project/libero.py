# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What hls4ml 1.3 leaves out of projects for Libero, or writes wrongly there, mended as it writes.

Its packages hold no script that builds a library, which nothing here needs; and it copies as many
elements into each output as the last input has.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.writer.libero_writer import LiberoWriter

from edgeinfer.base import plan
from edgeinfer.base.errors import EdgeInferError
from edgeinfer.targets.hls.settings import Backend

SCRIPT = "build_lib.sh"


class MendedLiberoWriter(LiberoWriter):  # type: ignore[misc]  # hls4ml has no types
    """hls4ml's writer, and what it lacks."""

    def write_build_script(self, model: Any) -> None:
        """The scripts, the last of which may be missing."""
        try:
            super().write_build_script(model)
        except FileNotFoundError as error:
            if Path(str(error.filename)).name != SCRIPT:
                raise

    def write_project_cpp(self, model: Any) -> None:
        """The source, in which each output is copied as a whole."""
        super().write_project_cpp(model)
        name = f"{model.config.get_project_name()}.cpp"
        path = Path(model.config.get_output_dir()) / "firmware" / name
        text = path.read_text(encoding="utf-8")
        for output in model.get_output_variables():
            loop = re.compile(rf"(i < )[^;]+(; i\+\+\) \{{\s+{output.name}_struct\.data\[i\] =)")
            text, count = loop.subn(rf"\g<1>{output.size_cpp()}\g<2>", text)
            if count != 1:
                raise EdgeInferError(f"hls4ml does not write the output {output.name} as it did.")
        plan.write_file(path, text)


def mend_writer() -> None:
    """Have hls4ml write projects for Libero with the writer above."""
    get_backend(str(Backend.LIBERO)).writer = MendedLiberoWriter()

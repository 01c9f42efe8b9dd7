# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What native code says on stderr is not seen; what Python raises is."""

from __future__ import annotations

import os

import pytest

from edgeinfer.base.quiet import quiet_stderr


def test_nothing_reaches_stderr_until_the_block_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="seen"), quiet_stderr():
        os.write(2, b"INFO: greetings\n")
        raise ValueError("seen")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"

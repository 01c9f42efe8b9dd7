# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""``python -m edgeinfer``."""

import sys

from edgeinfer.cli.app import main

sys.exit(main())

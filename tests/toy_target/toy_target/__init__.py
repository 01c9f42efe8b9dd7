# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A target of another package: pseudo-assembly for a machine that does one operation a cycle."""

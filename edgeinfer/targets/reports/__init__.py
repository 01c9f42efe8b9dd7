# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What more than one target wants of vendors' tools: the programs, and how their reports read."""

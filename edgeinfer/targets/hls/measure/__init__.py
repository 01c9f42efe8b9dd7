# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports of the vendors' tools, read as figures: C synthesis, co-simulation, logic synthesis."""

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The integer network: its ops, its laws, its meaning, and the fast way to run it."""

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks as lists of sites: layers compute at lit pixels, not at every pixel."""

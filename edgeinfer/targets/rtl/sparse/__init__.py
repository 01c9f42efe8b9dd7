# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks as streams of tokens: a beat for each lit pixel, not for every pixel."""

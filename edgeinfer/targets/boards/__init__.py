# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Boards: what they carry, what goes to a design on them, and what runs on them."""

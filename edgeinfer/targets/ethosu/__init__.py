# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Arm Ethos-U: the int8 file compiled by Vela."""

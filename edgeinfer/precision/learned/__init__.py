# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training that also learns how many bits each weight and each activation is worth."""

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a model would be on devices, width by width: the table, and which row is recommended."""

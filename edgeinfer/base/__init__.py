# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What every room stands on: errors, tools, files in memory, shipped text, figures, devices."""

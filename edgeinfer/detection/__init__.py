# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Detection: networks that propose and judge boxes, and in integers what the host does between."""

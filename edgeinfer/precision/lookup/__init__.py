# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks of look-up tables: their layer in Keras, and how it is trained."""

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Keras and QKeras models, read as data: old and new layouts, without importing Keras."""

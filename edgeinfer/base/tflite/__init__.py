# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""TensorFlow Lite files as data: what the reader of models and the Edge TPU target both need."""

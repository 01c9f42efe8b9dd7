# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks in ONNX Runtime: integers exactly, floats as they come."""

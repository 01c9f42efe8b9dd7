# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX and QONNX models: parsed safely, drawn channels last, formats into the recipe."""

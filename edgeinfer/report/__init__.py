# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results for people: the verdict, the page, comparisons, and gates that a machine can trust.

Data first, drawing second: `verdict`, `uses`, `timings`, `comparison` and `gates` say what holds;
`draw` places marks; `page`, `gates` and `compare` write them down.
"""

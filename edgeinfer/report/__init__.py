# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results for people: the verdict, the page, comparisons, and gates that a machine can trust.

Data first, drawing second: `verdict`, `uses`, `timings`, `comparison` and `gates` say what holds;
`figures_*` place marks; `page`, `text` and `junit` write them down.
"""

# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What data lie in: one module reads each format, and those of experiments are written as well.

| module           | format                                             | one row is             |
|------------------|----------------------------------------------------|------------------------|
| `npz`            | NumPy archives                                     | an entry of each array |
| `npy_arrays`     | NumPy arrays, one or several; record arrays        | an entry               |
| `h5_arrays`      | HDF5 data sets, tables                             | an entry               |
| `parquet_rows`   | Parquet                                            | a row                  |
| `root_tree`      | ROOT trees                                         | an entry               |
| `text_tables`    | CSV, tables with blanks, ARFF                      | a line                 |
| `protodune_root` | ROOT dump of (raw, deposit, pdg) planes            | a patch around a pixel |
| `patches_npy`    | structured npy of patches; plain x.npy with y.npy  | a patch                |
| `track_pid_text` | one text file a track                              | a dE/dx profile        |
| `cvn`            | zlib pixel maps (.gz) with .info                   | an event, 3 views      |
| `lariat_h5`      | HDF5 `images`, `Energy`                            | an event, 2 planes     |
| `lcd_h5`         | HDF5 `ECAL`, `HCAL`, `target`                      | a shower               |

Every reader is a `shards.ShardSource`: it lists what may be read and reads one shard at a time,
so that
`edgeinfer.data.stream.batches` can hand disjoint shards to several workers under a cap on memory.
Files are not trusted: sizes are checked before memory is taken, decompression is bounded, and
nothing is ever unpickled.
"""

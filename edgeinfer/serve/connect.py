# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which client asks the server at an address."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from urllib.parse import urlsplit

from edgeinfer.base.errors import UsageError
from edgeinfer.serve.client import Client, GrpcClient, HttpClient, Identity
from edgeinfer.serve.triton_client import TritonClient, import_tritonclient

KINDS: dict[str, type[GrpcClient] | type[HttpClient]] = {
    "grpc": GrpcClient,
    "grpcs": GrpcClient,
    "http": HttpClient,
    "https": HttpClient,
}


class ClientLibrary(StrEnum):
    """Whose code asks a server."""

    OWN = "own"
    TRITONCLIENT = "tritonclient"
    INSTALLED = "installed"  # `tritonclient` where it is installed, else our own


def connect(url: str, identity: Identity, library: ClientLibrary = ClientLibrary.OWN) -> Client:
    """A client for an address such as `grpc://127.0.0.1:8001` or `https://host:8000`."""
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.scheme in KINDS and parts.hostname and parts.port)
        is_complete = is_complete and "@" not in url and parts.path.strip("/") in ("", "v2")
    except ValueError:
        is_complete = False
    if not is_complete:
        raise UsageError(
            f"{url} is no address of a server.",
            hint="Write for instance grpc://127.0.0.1:8001 or http://127.0.0.1:8000; grpcs and "
            "https are encrypted.",
        )
    kind: Callable[..., Client] = KINDS[parts.scheme]
    protocol, encrypted = parts.scheme[:4], parts.scheme.endswith("s")
    if library is ClientLibrary.TRITONCLIENT or (
        library is ClientLibrary.INSTALLED and import_tritonclient(protocol)
    ):
        kind = TritonClient
    return kind(url, parts.netloc, identity, encrypted=encrypted)

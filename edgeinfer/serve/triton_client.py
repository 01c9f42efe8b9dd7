# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A client of the protocol that asks through `tritonclient`, where that package is installed.

It is NVIDIA's own client: with it `infer` sends what other people's programs send.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.serve.client import SECONDS, Client, Identity
from edgeinfer.serve.shared import NO_PARTS, RegionPart
from edgeinfer.serve.tensors import DATATYPES, WireTensor

NAME = "tritonclient"
QUESTIONS = {
    "Metadata": "get_model_metadata",
    "Config": "get_model_config",
    "Statistics": "get_inference_statistics",
}


def import_tritonclient(protocol: str) -> Any:
    """The package's part for `grpc` or `http`; None where it, or what it needs, is missing."""
    try:
        return importlib.import_module(f"{NAME}.{protocol}")
    except (ImportError, RuntimeError):  # the package itself makes the latter of a missing extra
        return None


class TritonClient(Client):
    """By `tritonclient`, gRPC or HTTP."""

    def __init__(self, url: str, address: str, identity: Identity, *, encrypted: bool) -> None:
        super().__init__(url)
        self._is_grpc = url.startswith("grpc")
        self._module = import_tritonclient("grpc" if self._is_grpc else "http")
        if self._module is None:
            extra = "grpc" if self._is_grpc else "http"
            raise ToolMissingError(
                f"{NAME} is not installed with what {extra} needs.",
                hint=f"Get it with: pip install '{NAME}[{extra}]', or leave --client out.",
            )
        self._error = importlib.import_module(f"{NAME}.utils").InferenceServerException
        identity.read()  # an error that names a file which is not there
        named = {
            "root_certificates": identity.ca,
            "certificate_chain": identity.certificate,
            "private_key": identity.key,
        }
        options: dict[str, Any] = {"ssl": encrypted}
        if self._is_grpc:
            options |= {key: str(path) for key, path in named.items() if path is not None}
        else:
            options["network_timeout"] = SECONDS
            keys = ("ca_certs", "certfile", "keyfile")
            paths = zip(keys, named.values(), strict=True)
            options["ssl_options"] = {key: str(path) for key, path in paths if path is not None}
        with self._asking():
            self._client = self._module.InferenceServerClient(address, **options)

    def ask(self, what: str, name: str = "", version: str = "") -> Mapping[str, Any]:
        """The fields of an answer, as gRPC has them."""
        more: dict[str, Any] = {"as_json": True} if self._is_grpc else {}
        with self._asking():
            if what == "Index":
                index = self._client.get_model_repository_index(**more)
                models = index.get("models", []) if self._is_grpc else index
                return {"models": [m for m in models if m.get("state", "READY") == "READY"]}
            answer: dict[str, Any] = getattr(self._client, QUESTIONS[what])(name, version, **more)
        return {"config": answer} if what == "Config" and not self._is_grpc else answer

    def prepare(
        self,
        name: str,
        version: str,
        inputs: Sequence[WireTensor],
        shared: Mapping[str, RegionPart] = NO_PARTS,
    ) -> Any:
        """The arguments of a call."""
        arguments = []
        with self._asking():
            for tensor in inputs:
                arguments.append(
                    self._module.InferInput(tensor.name, list(tensor.values.shape), tensor.datatype)
                )
                part = shared.get(tensor.name)
                if part is None:
                    arguments[-1].set_data_from_numpy(tensor.values)
                else:
                    arguments[-1].set_shared_memory(part.region, part.byte_size, part.offset)
        return name, arguments, version

    def register(self, region: str, key: str, byte_size: int) -> None:
        """Tell the server of an object."""
        with self._asking():
            self._client.register_system_shared_memory(region, key, byte_size)

    def unregister(self, region: str) -> None:
        """The server may forget it."""
        with self._asking():
            self._client.unregister_system_shared_memory(region)

    def send(self, prepared: Any) -> Any:
        """Send a request; what the package makes of the answer."""
        more: dict[str, Any] = {"client_timeout": SECONDS} if self._is_grpc else {}
        with self._asking():
            return self._client.infer(*prepared, **more)

    def read(self, answer: Any) -> tuple[WireTensor, ...]:
        """An answer's outputs."""
        response = answer.get_response(**({"as_json": True} if self._is_grpc else {}))
        tensors = []
        for output in response["outputs"]:
            name, datatype = output["name"], output["datatype"]
            if datatype not in DATATYPES:
                raise ToolFailedError(f"The output {name!r} is {datatype}, unknown here.")
            tensors.append(WireTensor(name, datatype, answer.as_numpy(name)))
        return tuple(tensors)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Within the block, what the package says of a failure is an error that names the
        server."""
        try:
            yield
        except self._error as error:
            status = str(error.status() or "an error").removeprefix("StatusCode.")
            raise self.fail(status, error.message()) from None
        except OSError as error:  # by HTTP the package passes on what the socket says
            raise self.silence(error) from None

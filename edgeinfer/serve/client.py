# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A client of the protocol, for servers of ours and of others, by gRPC or HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
from google.protobuf.message import DecodeError

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.extras import require_extra
from edgeinfer.data.open import existing
from edgeinfer.serve.faults import CallFailure
from edgeinfer.serve.frames import ConnectionFault
from edgeinfer.serve.messages import SERVICE, message_class, parameter_messages
from edgeinfer.serve.shared import NO_PARTS, RegionPart, place_parameters, shared_object
from edgeinfer.serve.tensors import DATATYPES, WireTensor, bytes_of

SECONDS = 300.0  # in which an answer has to come
ALIGNMENT_BYTES = 64  # of a tensor in a region
ENDS = {"Metadata": "", "Config": "/config", "Statistics": "/stats"}  # of a model's path
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a client trusts, and what it shows of itself."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def read(self) -> list[bytes | None]:
        """The content of authority, key and certificate."""
        paths = (self.ca, self.key, self.certificate)
        return [None if path is None else existing(path).read_bytes() for path in paths]


class Client(ABC):
    """A connection to a server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def ask(self, what: str, name: str = "", version: str = "") -> Mapping[str, Any]:
        """The fields of an answer: a model's Metadata, Config or Statistics, or the Index."""

    @abstractmethod
    def prepare(
        self,
        name: str,
        version: str,
        inputs: Sequence[WireTensor],
        shared: Mapping[str, RegionPart] = NO_PARTS,
    ) -> Any:
        """A request for an inference, ready to be sent any number of times. `shared`: inputs that
        lie in shared memory and are not sent."""

    @abstractmethod
    def register(self, region: str, key: str, byte_size: int) -> None:
        """Tell the server of a shared-memory object of this machine."""

    @abstractmethod
    def unregister(self, region: str) -> None:
        """The server may forget it."""

    @contextlib.contextmanager
    def sharing(self, inputs: Sequence[WireTensor]) -> Iterator[dict[str, RegionPart]]:
        """Inputs in one region of shared memory that the server knows within the block."""
        parts, contents, end = {}, [], 0
        with contextlib.ExitStack() as stack:
            for tensor in inputs:
                contents.append(bytes_of(tensor))
                contents[-1] += bytes(-len(contents[-1]) % ALIGNMENT_BYTES)
                size = tensor.values.size * DATATYPES[tensor.datatype].itemsize
                parts[tensor.name] = RegionPart("", size, end)
                end += len(contents[-1])
            key = stack.enter_context(shared_object(b"".join(contents)))
            region = key.strip("/")
            self.register(region, key, end)
            stack.callback(self.unregister, region)
            yield {name: replace(part, region=region) for name, part in parts.items()}

    @abstractmethod
    def send(self, prepared: Any) -> Any:
        """Send a request; the answer as it comes, or an error that says what the server said."""

    @abstractmethod
    def read(self, answer: Any) -> tuple[WireTensor, ...]:
        """An answer's outputs."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    @contextlib.contextmanager
    def understanding(self) -> Iterator[None]:
        """Within the block, an answer that is none of the protocol is an error that says so."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, DecodeError) as error:
            raise ToolFailedError(
                f"{self.url} answers, but not as the protocol says ({type(error).__name__}: "
                f"{str(error)[:200]}).",
                hint="Is it a server of the open inference protocol?",
            ) from None

    def fail(self, status: object, text: str) -> ToolFailedError:
        """The error of an answer that is none."""
        if "failed to connect" in text:  # gRPC says so in the place of an answer
            return self.silence(text.partition("last error: ")[2] or text)
        return ToolFailedError(f"{self.url} answered {status}: {text}")

    def silence(self, reason: object) -> ToolFailedError:
        """The error of a server that is not there, or has gone."""
        return ToolFailedError(
            f"{self.url} does not answer: {reason}.",
            hint="Check the address, or start a server with: edgeinfer serve RUN",
        )


class GrpcClient(Client):
    """By gRPC."""

    def __init__(self, url: str, address: str, identity: Identity, *, encrypted: bool) -> None:
        super().__init__(url)
        require_extra("serve", "Asking by gRPC without tritonclient")
        from edgeinfer.serve.grpc_connection import GrpcConnection

        place = urlsplit(f"//{address}")
        assert place.hostname is not None and place.port is not None
        tls = None
        if encrypted:
            tls = _client_context(identity)
            tls.set_alpn_protocols(["h2"])
        self._connection = GrpcConnection((place.hostname, place.port), tls, SECONDS)

    def ask(self, what: str, name: str = "", version: str = "") -> Mapping[str, Any]:
        """The fields of an answer."""
        from google.protobuf import json_format

        procedure = "RepositoryIndex" if what == "Index" else f"Model{what}"
        fields = {"ready": True} if what == "Index" else {"name": name, "version": version}
        request = message_class(f"{procedure}Request")(**fields)
        content = self._call(procedure, request.SerializeToString())
        answer = message_class(f"{procedure}Response").FromString(content)
        document: dict[str, Any] = json_format.MessageToDict(
            answer, preserving_proto_field_name=True
        )
        return document

    def prepare(
        self,
        name: str,
        version: str,
        inputs: Sequence[WireTensor],
        shared: Mapping[str, RegionPart] = NO_PARTS,
    ) -> bytes:
        """The request's bytes."""
        request = message_class("ModelInferRequest")(
            model_name=name,
            model_version=version,
            inputs=[
                {
                    "name": t.name,
                    "datatype": t.datatype,
                    "shape": t.values.shape,
                    "parameters": parameter_messages(place_parameters(t.name, shared)),
                }
                for t in inputs
            ],
            raw_input_contents=[bytes_of(t) for t in inputs if t.name not in shared],
        )
        content: bytes = request.SerializeToString()
        return content

    def register(self, region: str, key: str, byte_size: int) -> None:
        """Tell the server of an object."""
        self._manage_memory("Register", name=region, key=key, byte_size=byte_size)

    def unregister(self, region: str) -> None:
        """The server may forget it."""
        self._manage_memory("Unregister", name=region)

    def _manage_memory(self, verb: str, **fields: Any) -> None:
        procedure = f"SystemSharedMemory{verb}"
        request = message_class(f"{procedure}Request")(**fields)
        self._call(procedure, request.SerializeToString())

    def send(self, prepared: bytes) -> bytes:
        """The answer's bytes."""
        return self._call("ModelInfer", prepared)

    def read(self, answer: bytes) -> tuple[WireTensor, ...]:
        """An answer's outputs."""
        response = message_class("ModelInferResponse").FromString(answer)
        raw = response.raw_output_contents
        if len(raw) != len(response.outputs):
            raise self.fail("OK", "but not every output came as bytes.")
        pairs = zip(response.outputs, raw, strict=True)
        return tuple(
            output_tensor(o.name, o.datatype, list(o.shape), content) for o, content in pairs
        )

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _call(self, procedure: str, content: bytes) -> bytes:
        try:
            return self._connection.call(f"/{SERVICE}/{procedure}", content)
        except CallFailure as error:
            raise self.fail(error.status, error.message) from None
        except ConnectionFault:
            raise ToolFailedError(
                f"{self.url} answers, but not by gRPC.",
                hint="For the port of HTTP, write http:// in place of grpc://.",
            ) from None
        except OSError as error:
            raise self.silence(error.strerror or error) from None


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    path: str
    headers: Mapping[str, str]
    body: bytes


class HttpClient(Client):
    """By HTTP, tensors as bytes."""

    def __init__(self, url: str, address: str, identity: Identity, *, encrypted: bool) -> None:
        super().__init__(url)
        self._connection = http.client.HTTPConnection(address, timeout=SECONDS)
        if encrypted:
            self._connection = http.client.HTTPSConnection(
                address, timeout=SECONDS, context=_client_context(identity)
            )

    def ask(self, what: str, name: str = "", version: str = "") -> Mapping[str, Any]:
        """The fields of an answer, as gRPC has them."""
        if what == "Index":
            path, body = "/v2/repository/index", b'{"ready": true}'
            _, content = self._exchange(_HttpRequest(path, {}, body))
            return {"models": json.loads(content)}
        path = _model_path(name, version) + ENDS[what]
        _, content = self._exchange(_HttpRequest(path, {}, b""))
        document: dict[str, Any] = json.loads(content)
        return {"config": document} if what == "Config" else document

    def prepare(
        self,
        name: str,
        version: str,
        inputs: Sequence[WireTensor],
        shared: Mapping[str, RegionPart] = NO_PARTS,
    ) -> _HttpRequest:
        """The request's path, headers and body."""
        contents = [b"" if tensor.name in shared else bytes_of(tensor) for tensor in inputs]
        head = {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": tensor.name,
                    "datatype": tensor.datatype,
                    "shape": tensor.values.shape,
                    "parameters": place_parameters(tensor.name, shared)
                    or {"binary_data_size": len(content)},
                }
                for tensor, content in zip(inputs, contents, strict=True)
            ],
        }
        start = json.dumps(head).encode()
        headers = {HEADER_LENGTH: str(len(start)), "Content-Type": "application/octet-stream"}
        body = b"".join([start, *contents])
        return _HttpRequest(_model_path(name, version) + "/infer", headers, body)

    def register(self, region: str, key: str, byte_size: int) -> None:
        """Tell the server of an object."""
        fields = {"key": key, "offset": 0, "byte_size": byte_size}
        self._manage_memory(region, "register", json.dumps(fields).encode())

    def unregister(self, region: str) -> None:
        """The server may forget it."""
        self._manage_memory(region, "unregister", b"{}")

    def _manage_memory(self, region: str, verb: str, body: bytes) -> None:
        path = f"/v2/systemsharedmemory/region/{quote(region, safe='')}/{verb}"
        self._exchange(_HttpRequest(path, {}, body))

    def send(self, prepared: _HttpRequest) -> tuple[int, bytes]:
        """How many bytes of the answer are JSON, and all its bytes."""
        return self._exchange(prepared)

    def read(self, answer: tuple[int, bytes]) -> tuple[WireTensor, ...]:
        """An answer's outputs."""
        end, content = answer
        head, rest = json.loads(content[:end]), memoryview(content)[end:]
        tensors = []
        for output in head["outputs"]:
            size = output["parameters"]["binary_data_size"]
            tensors.append(
                output_tensor(output["name"], output["datatype"], output["shape"], rest[:size])
            )
            rest = rest[size:]
        return tuple(tensors)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _exchange(self, request: _HttpRequest) -> tuple[int, bytes]:
        method = "POST" if request.body else "GET"
        try:
            self._connection.request(method, request.path, request.body, dict(request.headers))
            response = self._connection.getresponse()
            content = response.read()
        except http.client.BadStatusLine as error:
            self._connection.close()
            if isinstance(error, http.client.RemoteDisconnected):
                raise self.silence("it has closed the connection") from None
            raise ToolFailedError(
                f"{self.url} answers, but not by HTTP.",
                hint="For the port of gRPC, write grpc:// in place of http://.",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self.silence(getattr(error, "strerror", None) or error) from None
        if response.status != http.HTTPStatus.OK:
            raise self.fail(response.status, content[:1000].decode(errors="replace"))
        with self.understanding():
            return int(response.getheader(HEADER_LENGTH, str(len(content)))), content


def output_tensor(
    name: str, datatype: str, shape: Sequence[int], content: bytes | memoryview
) -> WireTensor:
    """An output of an answer."""
    if datatype not in DATATYPES:
        raise ToolFailedError(f"The output {name!r} has the datatype {datatype}, unknown here.")
    values = np.frombuffer(content, DATATYPES[datatype]).reshape(tuple(map(int, shape)))
    return WireTensor(name, datatype, values)


def _model_path(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _client_context(identity: Identity) -> ssl.SSLContext:
    identity.read()  # an error that names a file which is not there
    context = ssl.create_default_context(cafile=identity.ca)
    if identity.certificate is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context

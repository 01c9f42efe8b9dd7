# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Why a request is not answered, whichever protocol it came by."""

from __future__ import annotations

from enum import Enum

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.base.names import printable

LONGEST_MESSAGE = 1000  # letters: a client's own names may be in it
GRPC_CODES = (  # the names of gRPC's statuses, by their numbers
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class RequestFault(Enum):
    """What is wrong, by gRPC's name for it and by HTTP's number."""

    INVALID = ("INVALID_ARGUMENT", 400)
    ABSENT = ("NOT_FOUND", 404)
    EXISTS = ("ALREADY_EXISTS", 400)
    TOO_LARGE = ("RESOURCE_EXHAUSTED", 413)
    BROKEN = ("INTERNAL", 500)
    UNSUPPORTED = ("UNIMPLEMENTED", 501)
    OVERLOAD = ("UNAVAILABLE", 503)

    @property
    def grpc_name(self) -> str:
        """The status code of gRPC."""
        return self.value[0]

    @property
    def http_status(self) -> int:
        """The status of an HTTP answer."""
        return self.value[1]


class RequestError(EdgeInferError):
    """A request that is refused, with what its sender can do about it."""

    exit_code = 2

    def __init__(self, fault: RequestFault, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.fault = fault


def invalid(message: str, *, hint: str = "") -> RequestError:
    """A request that says something that cannot be."""
    return RequestError(RequestFault.INVALID, message, hint=hint)


def refusal_of(what: str, *, hint: str = "") -> RequestError:
    """A request for something of the protocol that this server does not have."""
    return RequestError(RequestFault.UNSUPPORTED, f"{what} is not supported here.", hint=hint)


def fault_of(error: BaseException) -> RequestFault:
    """What kind of fault an error is."""
    if isinstance(error, RequestError):
        return error.fault
    return RequestFault.INVALID if isinstance(error, EdgeInferError) else RequestFault.BROKEN


def message_of(error: BaseException) -> str:
    """What a client is told of an error."""
    message = str(error)
    if not isinstance(error, EdgeInferError):
        message = f"This is a bug of edgeinfer ({type(error).__name__}: {error})."
    return printable(message[:LONGEST_MESSAGE])


def without_frames(error: EdgeInferError) -> EdgeInferError:
    """The error alone. The frames that it came through hold the request's tensors, and are held by
    it in turn: the memory would be free only when Python looks for such circles."""
    error.__traceback__ = error.__context__ = None
    return error


class CallFailure(Exception):
    """A call that the server refused, by gRPC's name for the reason."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

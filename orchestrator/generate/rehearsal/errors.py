"""Errors in the API's own shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["ERROR_TYPES", "ApiError"]

ERROR_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "invalid_request_error",
        429: "rate_limit_error",
        500: "api_error",
        529: "overloaded_error",
    }
)
"""The error type that the API gives for each status."""


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status, a key of :data:`ERROR_TYPES`.
        message: what the API would say.
        reason: under what name it is counted.
        headers: further headers of the response.
        error_code: the stable code in ``details``, if any.
    """

    def __init__(
        self,
        status: int,
        message: str,
        reason: str,
        *,
        headers: Mapping[str, str] | None = None,
        error_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.headers = dict(headers or {})
        self.error_code = error_code

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body."""
        error: dict[str, Any] = {"type": ERROR_TYPES[self.status], "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}

    def encoded(self, request_id: str) -> bytes:
        """The body as bytes."""
        return json.dumps(self.body(request_id)).encode()

"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse


class ProblemError(Exception):
    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object):
        super().__init__(detail)
        self.answer = problem(status, HTTPStatus(status).phrase, detail, headers, **more)


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(content, status, dict(headers or {}), media_type="application/problem+json")

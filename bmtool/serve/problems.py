"""Errors as RFC 9457 problem details."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse


class ProblemError(Exception):
    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object):
        super().__init__(detail)
        self.answer = problem(status, HTTPStatus(status).phrase, detail, headers, **more)


class _Problem(JSONResponse):
    media_type = "application/problem+json"

    def render(self, content: object) -> bytes:
        """What a request held may be shown in it, half surrogate pairs too."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return _Problem(content, status, dict(headers or {}))

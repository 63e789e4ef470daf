"""Errors as RFC 9457 problem details; on the routes of OpenAI's interface in the shape that its clients expect."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

OPENAI = ("/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/models")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}  # others: by whose fault it is


class _Problem(JSONResponse):
    media_type = "application/problem+json"

    def __init__(self, content: dict[str, Any], status: int, headers: Mapping[str, str]):
        self.content = content
        super().__init__(content, status, dict(headers))

    def render(self, content: object) -> bytes:
        """What a request held may be shown in it, half surrogate pairs too."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


class _Error(_Problem):
    media_type = "application/json"


class ProblemError(Exception):
    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object):
        super().__init__(detail)
        self.answer = problem(status, HTTPStatus(status).phrase, detail, headers, **more)
        self._headers = headers or {}

    def told(self, path: str) -> _Problem:
        """The answer in the shape of a path."""
        return told(self.answer, path, self._headers)


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> _Problem:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return _Problem(content, status, headers or {})


def told(answer: _Problem, path: str, headers: Mapping[str, str]) -> _Problem:
    """A problem in the shape of a path: clients of OpenAI's interface know 400 for a request that does not fit."""
    if path.rstrip("/") not in OPENAI and not path.startswith("/v1/models/"):
        return answer
    content, status = answer.content, {422: 400, 413: 400}.get(answer.status_code, answer.status_code)
    listed = "; ".join(f"{one['field']}: {one['problem']}" for one in content.get("errors", []))
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {
        "message": f"{content['detail']}{f' ({listed})' if listed else ''}", "type": kind, "param": content.get("param"),
        "code": content.get("code"),
    }  # fmt: skip
    return _Error({"error": error}, status, headers)

"""What a server may be asked to bear. Sizes in bytes, times in seconds unless the name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    api_key: str | None = None
    body_bytes: int = 8_000_000
    body_seconds: float = 10.0  # for a body to arrive
    lines: int = 256  # of one request
    line_characters: int = 2_000
    images: int = 16  # of one request
    n_best: int = 20
    batch: int = 64  # inputs of one run of the model
    wait_ms: float = 3.0  # that a request waits for others to join it
    queue: int = 512  # inputs that may wait; more are refused with 503
    answer_seconds: float = 30.0
    revive_seconds: float = 5.0  # between attempts to start a model that died
    connections: int = 1_000

"""What a server may be asked to bear. Sizes in bytes, times in seconds unless the name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    api_key: str | None = None
    body_bytes: int = 8_000_000
    # until a body has arrived
    body_seconds: float = 10.0
    # of one request
    lines: int = 256
    line_characters: int = 2_000
    # of one request
    images: int = 16
    n_best: int = 20
    # inputs of one run of the model
    batch: int = 64
    # how long a request waits for others to join it
    wait_ms: float = 3.0
    # inputs that may wait; more are refused with 503
    queue: int = 512
    answer_seconds: float = 30.0
    # between attempts to start a model that died
    revive_seconds: float = 5.0
    connections: int = 1_000

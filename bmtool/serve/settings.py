"""What a server may be asked to bear. Sizes in bytes, times in seconds unless the name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    api_key: str | None = None
    # beside addresses and those of this machine: what requests may call the server
    host_names: tuple[str, ...] = ()
    # pages of these origins may ask, too
    cors: tuple[str, ...] = ()
    # of the server and its model in all
    memory: int = 4_000_000_000
    # what requests under way may hold together, and what one run of the model may take
    room: int = 1_000_000_000
    run_bytes: int = 1_000_000_000
    body_bytes: int = 8_000_000
    # values of one body of JSON: what is parsed costs far more than its bytes
    values: int = 100_000
    # until a body has arrived
    body_seconds: float = 10.0
    # of one request
    lines: int = 256
    line_characters: int = 2_000
    # of one request
    images: int = 16
    n_best: int = 20
    # texts that are written for one request, and that are being written together
    choices: int = 16
    writing: int = 32
    # inputs of one run of the model
    batch: int = 64
    # how long a request waits for others to join it
    wait_ms: float = 3.0
    # inputs that may wait; more are refused with 503
    queue: int = 512
    answer_seconds: float = 30.0
    # of one run of the model, after which its process is taken for stuck
    run_seconds: float = 60.0
    # between attempts to start a model that died
    revive_seconds: float = 5.0
    connections: int = 1_000

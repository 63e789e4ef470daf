"""Who may ask from a browser: only pages of this server, and of the origins that were named.

A page of a stranger can send requests to a server on the visitor's own machine, and by giving its own name the server's address
(DNS rebinding) read the answers, too. So a request must call the server by a name that is its own, and one that changes or costs something
must not come from another origin.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable

from bmtool.errors import ConfigError
from bmtool.serve.problems import ProblemError

_ORIGIN = re.compile(r"https?://[^\s/?#@*]+")
_HARMLESS = ("GET", "HEAD")


class Origins:
    def __init__(self, names: Iterable[str] = (), cors: Iterable[str] = ()):
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}
        self._cors = set(cors)

    def check(self, method: str, headers: dict[bytes, bytes]) -> None:
        """ProblemError 421 for a server of another name, 403 for a page of another origin."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host and not self._ours(_without_port(host)):
            raise ProblemError(
                421, f"this server is not called {_without_port(host)[:80]!r}: if it is, start it with --host-name"
            )
        if method not in _HARMLESS:
            self._check_origin(host, headers)

    def _ours(self, name: str) -> bool:
        """An address is never somebody else's name."""
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._names or any(name.endswith(one[1:]) for one in self._names if one.startswith("*."))
        return True

    def _check_origin(self, host: str, headers: dict[bytes, bytes]) -> None:
        """Browsers say where a request comes from: `Sec-Fetch-Site` cannot be set by a page, old ones send `Origin` alone."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
        same = site in ("same-origin", "none") if site else not origin or origin.lower().partition("://")[2] == host
        if not same and origin not in self._cors:
            raise ProblemError(403, f"a page of {origin[:80] or 'another site'} may not ask this server: see --cors")


def _without_port(host: str) -> str:
    return re.sub(r":\d*$", "", host)


def require_origins(origins: Iterable[str]) -> None:
    """ConfigError for what is no origin."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(f"--cors {origin}: expected an origin such as https://example.com, without a path")

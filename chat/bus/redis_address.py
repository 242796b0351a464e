"""Where a Redis is and how to log in there: what a URL says.

`redis://[USER:PASSWORD@]HOST:PORT/DB`, `rediss://…` for TLS, or `unix:///PATH?db=DB`, as redis-py
takes them (`redis.asyncio.connection.parse_url`), with these options in the query: `db`,
`username`, `password`, `client_name`, and for TLS `ssl_…` as redis-py names them.
"""

import ssl
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

_CERT_REQS: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_WITHOUT_EFFECT: Final = {
    "connection_class",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "legacy_responses",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_read_size",
    "socket_timeout",
    "timeout",
}
"""Options that redis-py has and that mean nothing here."""


class TlsOptions(NamedTuple):
    """The options of a URL that begin with `ssl_`; `context` says what they do."""

    keyfile: str | None = None
    certfile: str | None = None
    password: str | None = None
    cert_reqs: str = "required"
    check_hostname: bool = True
    ca_certs: str | None = None
    ca_path: str | None = None
    ca_data: str | None = None
    min_version: int | None = None
    ciphers: str | None = None
    include_verify_flags: Iterable[ssl.VerifyFlags] = ()
    exclude_verify_flags: Iterable[ssl.VerifyFlags] = ()

    def context(self) -> ssl.SSLContext:
        """Checks the server's certificate and name unless told otherwise. Raises OSError if a file
        cannot be read or holds no certificate."""
        context = ssl.create_default_context()
        required = _CERT_REQS[self.cert_reqs]
        context.check_hostname = self.check_hostname and required is not ssl.CERT_NONE
        context.verify_mode = required
        for flag in self.include_verify_flags:
            context.verify_flags |= flag
        for flag in self.exclude_verify_flags:
            context.verify_flags &= ~flag
        if self.certfile is not None:
            context.load_cert_chain(self.certfile, self.keyfile, self.password)
        if self.ca_certs or self.ca_path or self.ca_data:
            context.load_verify_locations(self.ca_certs, self.ca_path, self.ca_data)
        if self.min_version is not None:
            context.minimum_version = ssl.TLSVersion(self.min_version)
        if self.ciphers is not None:
            context.set_ciphers(self.ciphers)
        return context


class RedisAddress(NamedTuple):
    """`path` is that of a Unix socket; without one, `host` and `port` count. `tls` is None for a
    connection that is not encrypted."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = None
    client_name: str | None = None
    tls: TlsOptions | None = None

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Raises ValueError for a URL that is none, or has an option that does not exist."""
        scheme = urlsplit(url).scheme
        given: dict[str, Any] = {
            name: value for name, value in parse_url(url).items() if name not in _WITHOUT_EFFECT
        }
        tls = {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
        options = {name.removeprefix("ssl_"): value for name, value in tls.items()}
        unknown = {*given} - {*cls._fields} | {*options} - {*TlsOptions._fields}
        if unknown or "tls" in given:
            raise ValueError(f"a Redis URL has no option {', '.join(sorted(unknown)) or 'tls'}")
        if scheme == "unix" and "path" not in given:
            raise ValueError("a unix:// URL needs a path")
        if options.get("cert_reqs", "required") not in _CERT_REQS:
            raise ValueError(f"ssl_cert_reqs is one of {', '.join(_CERT_REQS)}")
        address = cls(**given)._replace(port=int(given.get("port", cls().port)))
        return address._replace(tls=TlsOptions(**options)) if scheme == "rediss" else address

    def __str__(self) -> str:
        """The place, without the password."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"

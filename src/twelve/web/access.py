"""Who can reach the service, and what they need: checked before anything is loaded."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from twelve.errors import ConfigError, found_in
from twelve.io.json_file import read_text
from twelve.web.limits import check_port

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names by which a machine reaches itself."""
TOKEN = "TWELVE_TOKEN"
"""The environment variable that has the token."""
METRICS_TOKEN = "TWELVE_METRICS_TOKEN"
"""The environment variable that has the token of ``/metrics``."""
_TOKEN = 16
"""Minimum length of a token."""


def check_access(
    host: str,
    port: int,
    token: str | None,
    *,
    no_token: bool,
    metrics_token: str | None = None,
    names: Collection[str] = (),
    origins: Collection[str] = (),
) -> None:
    """Check the address to listen at, the host names that requests may use, the origins whose pages may, and the
    tokens.

    Raises:
        ConfigError: the host is unknown, the port is none, a name or an origin is none, a token is unusable, or a
            required one is missing.
    """
    check_port(port)
    for name in names:
        check_name(name)
    for origin in origins:
        check_origin(origin)
    check_tokens(token, metrics_token)
    if token is not None and no_token:
        raise ConfigError(
            "expected a token or --no-token, found both",
            remedy="omit one (TWELVE_TOKEN and TWELVE_TOKEN_FILE set a token too)",
        )
    try:
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host} ({error.strerror or error})", remedy="choose another host"
        ) from None
    public = public_name(names)
    if token is None and not no_token and (public is not None or not is_loopback(address)):
        reached = f"other machines can reach {host}" if not is_loopback(address) else f"{public} is a public name"
        raise ConfigError(
            f"{reached}, and no token is set",
            remedy=f"set {TOKEN} to a secret of at least {_TOKEN} characters, name a file that holds one with "
            "--token-file, or add --no-token to serve everyone",
        )


def check_hosts(hosts: Collection[str], token: str | None, *, no_token: bool, metrics_token: str | None = None) -> None:
    """Check the host names that requests to an application may use (none for any), and its tokens.

    Raises:
        ConfigError: a token is unusable, or a required one is missing.
    """
    check_tokens(token, metrics_token)
    if token is not None and no_token:
        raise ConfigError("expected a token or no_token=True, found both", remedy="omit one")
    public = public_name(hosts)
    if token is None and not no_token and (public is not None or not hosts):
        raise ConfigError(
            f"hosts allows {'every name' if public is None else public}, and no token is set",
            remedy=f"pass token, a secret of at least {_TOKEN} characters, or no_token=True to serve everyone",
        )


def public_name(names: Collection[str]) -> str | None:
    """The first of these host names that is not one of this machine alone."""
    return next((name for name in names if name.lower() not in LOCAL and not is_loopback(name)), None)


def given(token: str | None, file: Path | None, variable: str) -> str | None:
    """The token of an option, of an environment variable, or of a file, which ``{variable}_FILE`` names too; None if
    there is none. A file has one token or two, with a space or a line break between.

    Raises:
        ConfigError: there are a token and a file, or the file cannot be read or its tokens are unusable.
    """
    # Typer takes an empty variable for none.
    token = os.environ.get(variable) if token is None else token
    named = os.environ.get(f"{variable}_FILE")
    file = Path(named) if file is None and named is not None else file
    if file is None:
        return token
    option = f"--{variable.removeprefix('TWELVE_').lower().replace('_', '-')}"
    if token is not None:
        raise ConfigError(
            f"expected {option} or {option}-file, found both",
            remedy=f"omit one ({variable} and {variable}_FILE set them too)",
        )
    remedy = f"name a file with a token, or omit {option}-file ({variable}_FILE sets it too)"
    token = " ".join(read_text(file, ConfigError, remedy=remedy).split())
    with found_in(file):
        check_token(token, option.lstrip("-").replace("-", " "), f"{variable}_FILE and omit {option}-file")
    return token


def check_tokens(token: str | None, metrics_token: str | None) -> None:
    """Raise ConfigError where the token, or that of ``/metrics``, is unusable."""
    check_token(token)
    check_token(metrics_token, "metrics token", METRICS_TOKEN)


def check_token(token: str | None, kind: str = "token", variable: str = TOKEN) -> None:
    """Raise ConfigError unless there is none, one, or two with a space between, which headers can contain."""
    one = f"[!-~]{{{_TOKEN},}}"
    if token is None or re.fullmatch(f"{one}( {one})?", token):
        return
    found, instead = ("", "") if token else (", found an empty one", f"; to have none, unset {variable}")
    raise ConfigError(
        f"expected a {kind} of at least {_TOKEN} printable ASCII characters, or two such tokens with a space between"
        f"{found}",
        remedy=f"create one: python -c 'import secrets; print(secrets.token_urlsafe())'{instead}",
    )


def check_name(name: str) -> None:
    """Raise ConfigError for what no request can have as its host name: a name with a port, or a path."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return
    if len(name) > 253 or not re.fullmatch(
        r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*", name, re.IGNORECASE | re.ASCII
    ):
        raise ConfigError(
            f"expected a host name, found {name[:80]!r}",
            remedy="give the name alone, without http://, a port or a path, such as images.example.org",
        )


def check_origin(origin: str) -> None:
    """Raise ConfigError for an origin that no browser sends, and for one that any page may have (``*``, ``null``)."""
    if origin in ("*", "null"):
        pages = "every web page" if origin == "*" else "every sandboxed page and every file"
        raise ConfigError(
            f"the origin {origin!r} would let {pages} use the service through the browsers of its visitors",
            remedy="name each origin: https://app.example.org",
        )
    if origin == _origin(origin):
        return
    meant = _origin(origin) or "https://app.example.org"
    raise ConfigError(
        f"expected an origin as browsers send it, found {origin[:80]!r}",
        remedy=f"give only the scheme and the host name, and the port if it is not the default, such as {meant}",
    )


def _origin(url: str) -> str | None:
    """The origin of a page at a URL, as browsers send it; None if it is no URL of a page."""
    try:
        parts = urlsplit(url)
        scheme, name, port = parts.scheme, parts.hostname or "", parts.port
        host = f"[{ipaddress.IPv6Address(name)}]" if ":" in name else name
        check_name(name)
    except (ValueError, ConfigError):
        return None
    usual = {"http": 80, "https": 443}
    if scheme not in usual:
        return None
    return f"{scheme}://{host}" if port in (None, usual[scheme]) else f"{scheme}://{host}:{port}"


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address; False for a host name."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

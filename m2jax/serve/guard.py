"""Who may ask, and how much: the address, the bearer token, the names under which a server without one answers, bodies
and times.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import ipaddress
import json
import re
import socket
from typing import Any

from starlette.requests import ClientDisconnect, Request

from m2jax.serve.fields import Refused, shown

LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclasses.dataclass(frozen=True)
class Limits:
    """queue: choices that may wait beyond those that have a slot. choices: of one request, all prompts together. body:
    bytes. seconds: of a whole answer. patience: seconds in which headers have to come, and then a body. drain: seconds
    that answers in flight are given when the server is told to stop.
    """

    queue: int = 64
    choices: int = 32
    body: int = 1 << 20
    seconds: float = 600.0
    patience: float = 30.0
    drain: float = 30.0


def check_bind(host: str, token: str | None) -> None:
    """ValueError where others could reach a server that asks for no token."""
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError("the token has to be of at least 16 printable ASCII characters without spaces")
    if token is None and not is_loopback(host):
        raise ValueError(
            f"--host={host} is not of this machine alone, and no token is set: put one in an environment variable and "
            "name it by --token_env, or listen on 127.0.0.1"
        )


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets on the host's addresses, which answer nobody yet; ValueError where one cannot be had."""
    bound = []
    try:
        found = dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        for family, kind, protocol, _, address in found:
            bound.append(socket.socket(family, kind, protocol))
            bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound[-1].bind(address)
    except OSError as error:
        where = f"{spelt(host)}:{port}"
        raise ValueError(f"cannot listen on {where} ({error.strerror}): give another --host or --port") from error
    return bound


def spelt(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_caller(request: Request, token: str | None, host: str) -> None:
    """`Refused` without the token. A server that has none answers only those who call it by a local name, or by the
    host that it listens on, so that no web page reaches it by a name of its own.
    """
    if token is None:
        name = re.sub(r":\d*$", "", request.headers.get("host", ""))
        if name.lower() not in (*LOCAL, spelt(host).lower()):
            message = f"this server has no token, and answers as localhost alone, not as {shown(name)}"
            raise Refused(message, status=403, code="wrong_host")
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        message = "a valid API key is needed: Authorization: Bearer KEY"
        raise Refused(message, status=401, kind="authentication_error", code="invalid_api_key")


async def read_json(request: Request, limits: Limits) -> Any:
    """The body; `Refused` where it is too large, too slow, or no JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("the body has to be JSON, with the header Content-Type: application/json", status=415)
    too_large = Refused(f"the body is larger than {limits.body} bytes", status=413, code="request_too_large")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length[:20]) > limits.body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.patience):
            async for part in request.stream():
                body += part
                if len(body) > limits.body:
                    raise too_large
    except TimeoutError as error:
        raise Refused("the body did not come in time", status=408, code="timeout") from error
    except ClientDisconnect as error:
        raise Refused("the client left", status=499) from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is no JSON: {ascii(str(error))[1:-1][:200]}", code="invalid_json") from error

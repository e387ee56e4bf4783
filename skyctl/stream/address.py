"""Addresses of ZeroMQ and HTTP: how a host is written, and what a socket needs for it."""

import zmq


def allow_ipv6(socket: zmq.Socket, address: str) -> None:
    """Let a socket bind or connect to ``tcp://[::1]:PORT``; before it does. Others stay as they
    are: with this set, a name of both kinds would mean its IPv6 address."""
    if "[" in address:
        socket.setsockopt(zmq.IPV6, 1)


def in_url(host: str) -> str:
    """A host as it stands in an address: an IPv6 one in brackets."""
    return f"[{host}]" if ":" in host else host

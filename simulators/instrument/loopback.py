"""EPICS on this machine alone: the environment that keeps servers and clients on 127.0.0.1."""

import random
import socket

_HERE = "127.0.0.1"
PORTS = 6
"""So many ports, from the first on, belong to one IOC."""


def epics_on_loopback(port: int, *others: int) -> dict[str, str]:
    """EPICS_… settings for an IOC with its ports from ``port`` on, and for its clients.

    An IOC needs ports of its own: of two at one Channel Access port only one is found. Clients of
    several name the ``others`` as well.
    """
    return {
        "EPICS_CA_ADDR_LIST": " ".join([_HERE, *(f"{_HERE}:{other}" for other in others)]),
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(port + 1),
        "EPICS_CAS_INTF_ADDR_LIST": _HERE,
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": _HERE,
        "EPICS_CAS_BEACON_PORT": str(port + 1),
        "EPICS_PVA_ADDR_LIST": " ".join([_HERE, *(f"{_HERE}:{other + 3}" for other in others)]),
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_SERVER_PORT": str(port + 2),
        "EPICS_PVA_BROADCAST_PORT": str(port + 3),
        "EPICS_PVAS_INTF_ADDR_LIST": _HERE,
        "EPICS_PVAS_BEACON_ADDR_LIST": _HERE,
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVAS_SERVER_PORT": str(port + 2),
        "EPICS_PVAS_BROADCAST_PORT": str(port + 3),
    }


def free_ports() -> int:
    """The first of PORTS ports that nobody has, by TCP or UDP, for `epics_on_loopback`."""
    while True:
        first = random.randrange(20_000, 32_000, PORTS)  # below those that a kernel gives away
        if all(_is_free(port) for port in range(first, first + PORTS)):
            return first


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as tried:
            try:
                tried.bind((_HERE, port))
            except OSError:
                return False
    return True

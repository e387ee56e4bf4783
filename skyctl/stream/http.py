"""HTTP inside a beamline: asked directly, whatever proxy a site has for the rest of the world."""

import contextlib
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask_directly(url: str, timeout_s: float) -> Any:
    """The open answer of ``url``, a context manager. Raises OSError without one."""
    return _DIRECT.open(url, timeout=timeout_s)


@contextlib.contextmanager
def no_proxy_to(host: str) -> Iterator[None]:
    """Have clients that are made here ask ``host`` directly: they read it from the environment."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, value in before.items():
        os.environ[name] = f"{value},{host}" if value else host
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

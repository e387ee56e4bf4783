"""HTTP inside a beamline: asked directly, whatever proxy a site has for the rest of the world."""

import urllib.request
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask_directly(url: str, timeout_s: float) -> Any:
    """The open answer of ``url``, a context manager. Raises OSError without one."""
    return _DIRECT.open(url, timeout=timeout_s)

"""Interlocks: whoever may hold fire says why, and whatever else it says holds fire as well."""

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

Interlock = Callable[[], str]
"""Says why nothing may be fired now, or "" when it may. Any other answer, None and False among
them, and an interlock that fails hold fire."""


def reason_of(interlock: Interlock) -> str:
    """Why it holds fire, or ""; what is no such answer is a reason."""
    try:
        said: Any = interlock()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever its fault, it says no yes
        _log.exception("an interlock failed")
        return f"an interlock failed ({error!r})"
    if type(said) is str:
        return said
    return f"an interlock answered {type(said).__name__} instead of a reason or an empty string"

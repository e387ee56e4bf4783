"""Action log: who stopped, released and answered what, a line each, on disk beside the ledger."""

import json
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from skyctl.errors import MonitorError

_RECENT = 20


class ActionLog:
    """A JSON-lines file that is only ever appended to; nobody but its user may read it.

    path : made where it is not there
    recent : the last lines, oldest first
    last_stop : the line of the last STOP; released : numbers of the stops that were released

    Raises MonitorError when it cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self.last_stop: dict[str, Any] | None = None
        self.released: set[int] = set()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            content = path.read_bytes()
            for line in content.splitlines():
                self._note(json.loads(line))
            if content and not content.endswith(b"\n"):  # cut by a crash, and whole as JSON
                os.write(self._file, b"\n")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise MonitorError(
                f"log {path}: cannot be read ({error}). It says who stopped and who released: see "
                "what happened to it, then move it away."
            ) from error

    def append(self, action: str, who: str, **more: Any) -> dict[str, Any]:
        """Write a line; it is on disk when this returns. Raises OSError."""
        line = {"time": time.time(), "action": action, "who": who, **more}
        with self._lock:
            os.write(self._file, json.dumps(line).encode() + b"\n")
            os.fsync(self._file)
            self._note(line)
        return line

    def _note(self, line: dict[str, Any]) -> None:
        self.recent.append(line)
        if line["action"] == "stop":
            self.last_stop = line
        elif line["action"] == "release":
            self.released.add(line["number"])

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

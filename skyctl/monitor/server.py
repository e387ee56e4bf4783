"""Server: the page over HTTP and one WebSocket, in a thread of its own.

Down the socket go states (JSON, 4 a second at most) and frames (binary); each waits until the page
has said that it has drawn the one before ("state", "frame"), so that a browser that stood still
finds one old picture, not a queue of them.
"""

import json
import logging
import math
import socket
import threading
import time
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from skyctl.errors import MonitorError
from skyctl.monitor.app import Site, page_app
from skyctl.monitor.newest import Newest
from skyctl.monitor.people import People
from skyctl.monitor.view import View
from skyctl.stream.keys import is_local

Tls = tuple[Path, Path]
"""Certificate and key, PEM files."""

_EVERY_S = 0.25
_STARTS_WITHIN_S = 10.0
_GOODBYE_S = 0.3
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_UPLOAD = 4096
_log = logging.getLogger(__name__)


class _QuietConfig(uvicorn.Config):
    """Leaves the process's loggers alone: uvicorn's are also those of a Tiled server in it."""

    def configure_logging(self) -> None:
        """Nothing is set up."""


class _QuietProtocol(H11Protocol):
    """Writes no access log: it would go to the other server's file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False


class PageServer:
    """Serves a view's page from `start` until `close`.

    See Monitor for the arguments. The port is taken at once. Raises MonitorError where it cannot
    be, and for a host off this machine without TLS.
    """

    def __init__(
        self,
        view: View,
        people: People,
        port: int = 0,
        host: str = "127.0.0.1",
        tls: Tls | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        if not is_local(f"tcp://{host}") and tls is None:
            raise MonitorError(
                f"monitor on {host}: tokens would leave this machine in the clear. Give tls=("
                "certificate, key), or stay on 127.0.0.1 and come through an SSH tunnel."
            )
        self._view, self._people = view, people
        self._socket = _bound(host, port)
        self._port = self._socket.getsockname()[1]
        self._scheme = "https" if tls else "http"
        self._name = names[0] if names else host
        self._states: Newest[str] = Newest()
        self._due, self._over = threading.Event(), threading.Event()
        site = Site(
            view=view,
            people=people,
            states=self._states,
            cookie=f"skyctl_monitor_{self._port}",
            names=frozenset((*_LOOPBACK, host, *names)),
            secure=tls is not None,
            files=_page_files(),
            refresh=self.refresh,
        )
        self._site = site
        config = _QuietConfig(
            page_app(site),
            loop="asyncio",
            http=_QuietProtocol,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=_MOST_UPLOAD,
            timeout_graceful_shutdown=1,
            lifespan="off",
            server_header=False,
            ssl_certfile=str(tls[0]) if tls else None,
            ssl_keyfile=str(tls[1]) if tls else None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="skyctl-monitor", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="skyctl-monitor-state", daemon=True)

    @property
    def links(self) -> dict[str, str]:
        """The page for each person, by name."""
        host = f"[{self._name}]" if ":" in self._name else self._name
        address = f"{self._scheme}://{host}:{self._port}"
        return {person.name: f"{address}/?token={token}" for person, token in self._people}

    def start(self) -> None:
        """Serve from now on. Raises MonitorError where the server does not come up."""
        self._thread.start()
        end = time.monotonic() + _STARTS_WITHIN_S
        while not self._server.started:
            if time.monotonic() > end or not self._thread.is_alive():
                raise MonitorError(f"monitor on port {self._port}: the server does not start")
            time.sleep(0.005)
        self._teller.start()

    def close(self) -> None:
        """Tell the pages that it is over, and stop."""
        if self._teller.is_alive():
            self._over.set()
            self.refresh()
            self._teller.join()
            time.sleep(_GOODBYE_S if self._site.watching else 0)
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def refresh(self) -> None:
        """Have the state told anew, at once."""
        self._due.set()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:  # noqa: BLE001 - a page is no reason to end an experiment
            _log.exception("the monitor's server stopped; the experiment goes on")

    def _tell(self) -> None:
        """Make the state while somebody looks. What fails is logged; pages then see it age."""
        while True:
            over = self._over.is_set()
            told = self._view.still and self._states.value is not None
            if over or (self._site.watching and not told):
                try:
                    state = {**self._view.state(), "over": over, "watching": self._site.watching}
                    self._states.put(json.dumps(state, default=_plain, allow_nan=False))
                except Exception:  # noqa: BLE001 - the next one may be told
                    _log.exception("the monitor's state")
            if over:
                return
            self._due.wait(_EVERY_S)
            self._due.clear()


def _plain(value: object) -> object:
    """Numpy's numbers as JSON has them."""
    if hasattr(value, "item"):
        number = value.item()  # type: ignore[attr-defined]
        return None if isinstance(number, float) and not math.isfinite(number) else number
    raise TypeError(f"a {type(value).__name__} cannot be told to a page")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else "no such port"
        raise MonitorError(
            f"monitor on {host}:{port}: {why}. Choose a free port, or 0 for any."
        ) from error
    return bound


def _page_files() -> dict[str, bytes]:
    """The page, by file name."""
    folder = resources.files("skyctl.monitor") / "page"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}

"""A catalogue of runs beside their recordings: a Tiled server of this process, and its folder."""

import contextlib
import secrets
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyctl.errors import ExtraMissing, needs
from skyctl.stream.http import no_proxy_to

FOLDER = "catalog"
"""Where the server's data bases lie, in the folder of the recordings."""


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that is open.

    address : of the server; client : of Tiled; writer : subscribe it to a RunEngine
    """

    address: str
    client: Any
    writer: Any

    def validate(self, run_uid: str) -> None:
        """Raise an error unless every frame of a run is found through its documents."""
        with warnings.catch_warnings():
            # The embedded server leaves this check to the client, and says so each time.
            warnings.filterwarnings("ignore", message="Tiled server does not support remote")
            self.client[run_uid].validate(raise_on_error=True, fix_errors=False)


@contextlib.contextmanager
def catalogue(folder: Path) -> Iterator[Catalogue]:
    """Open the catalogue in ``folder``, made if need be; closed when left, whatever happens.

    Only this process can ask it: its key is drawn anew each time. Raises ExtraMissing where Tiled
    is not installed.
    """
    with needs("catalogue"):
        from bluesky_tiled_plugins import TiledWriter
        from tiled.client import from_uri
        from tiled.server import SimpleTiledServer

    place = folder / FOLDER
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(0o700)  # also one of an earlier version: the server's logs and data bases
    server = SimpleTiledServer(
        directory=str(place), api_key=secrets.token_hex(32), readable_storage=[str(folder)]
    )
    with contextlib.ExitStack() as undo:
        undo.callback(server.close)
        # The key goes in a header: in the address, as server.uri has it, it would stand in the log.
        with no_proxy_to("127.0.0.1"):
            client = from_uri(server.uri.partition("?")[0], api_key=server.api_key)
        undo.callback(client.context.close)
        yield Catalogue(server.uri.partition("/api/")[0], client, TiledWriter(client))


@contextlib.contextmanager
def catalogue_if_installed(folder: Path) -> Iterator[Catalogue | None]:
    """``catalogue(folder)``; None where Tiled is not installed: a run is recorded all the same."""
    with contextlib.ExitStack() as opened:
        try:
            catalog = opened.enter_context(catalogue(folder))
        except ExtraMissing:
            catalog = None
        yield catalog

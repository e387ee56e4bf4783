"""Counts of a command that runs on, for Prometheus; takes long to import."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from skyctl.stream.metrics import CountsCollector, MetricsServer


@contextlib.contextmanager
def counts_served(
    port: int | None, name: str, what: str, counts: Callable[[], Mapping[str, int]]
) -> Iterator[None]:
    """Serve ``counts`` meanwhile, as ``name`` and ``what``, on ``port``; without one, nothing."""
    if port is None:
        yield
        return
    with MetricsServer(CountsCollector(name, what, counts), port=port):
        yield

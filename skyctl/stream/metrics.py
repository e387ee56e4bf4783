"""Metrics: what a hub counts, for Prometheus. Read when somebody asks; nothing is counted twice."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import HTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from skyctl.errors import StreamError
from skyctl.frame import COUNTS
from skyctl.stream.accounting import LatencyHistogram
from skyctl.stream.address import in_url
from skyctl.stream.hub import Hub
from skyctl.stream.keys import is_local


class HubCollector(Collector):
    """A hub's counts and latencies, and those of what stands behind it.

    latencies : more histograms by name, the classifier's say
    """

    def __init__(self, hub: Hub, latencies: Mapping[str, LatencyHistogram] | None = None) -> None:
        self._hub, self._latencies = hub, dict(latencies or {})

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        hub = self._hub
        totals = hub.accounting()
        frames = CounterMetricFamily(
            "skyctl_frames", "Frames and messages by what became of them", labels=["kind"]
        )
        for kind in COUNTS:
            frames.add_metric([kind], totals[kind])
        yield frames
        yield CounterMetricFamily("skyctl_shots", "Movies that were opened", totals["shots"])
        yield CounterMetricFamily(
            "skyctl_missing_shots", "Movies lost whole, by their numbers", totals["missing_shots"]
        )
        yield CounterMetricFamily(
            "skyctl_clock_faults", "Frames from the future: a clock jumped", totals["clock_faults"]
        )
        queued = GaugeMetricFamily("skyctl_queued_bytes", "Waiting events", labels=["consumer"])
        for consumer in hub.consumers:
            queued.add_metric([consumer.name], consumer.queued_bytes)
        yield queued
        clock = hub.clock
        yield GaugeMetricFamily(
            "skyctl_clock_offset_seconds",
            "The source's clock less ours; NaN where unknown",
            math.nan if clock.how == "unknown" else clock.offset_ns / 1e9,
        )
        yield GaugeMetricFamily(
            "skyctl_clock_uncertainty_seconds",
            "How far off the offset may be",
            clock.uncertainty_ns / 1e9,
        )
        for name, histogram in {"source_to_hub": hub.transit, **self._latencies}.items():
            yield _histogram(f"skyctl_{name}_seconds", histogram)


class CountsCollector(Collector):
    """Counts by name of what has no hub: a splitter, a publisher.

    name : of the metric, "skyctl_split" say; what : its description
    counts : called when somebody asks
    """

    def __init__(self, name: str, what: str, counts: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._what, self._counts = name, what, counts

    def collect(self) -> Iterator[Metric]:
        """The counts now."""
        metric = CounterMetricFamily(self._name, self._what, labels=["what"])
        for what, count in dict(self._counts()).items():
            metric.add_metric([what], count)
        yield metric


def _histogram(name: str, histogram: LatencyHistogram) -> HistogramMetricFamily:
    bounds = [f"{bound / 1e3:.6g}" for bound in histogram.BOUNDS_MS] + ["+Inf"]
    counts, total = list(histogram.counts), 0
    buckets = []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, total))
    what = name.removeprefix("skyctl_").removesuffix("_seconds").replace("_", " ")
    return HistogramMetricFamily(name, f"Latency, {what}", buckets, histogram.sum_ms / 1e3)


class MetricsServer:
    """Serves metrics over HTTP at ``url`` until it is closed; a context manager.

    address : an interface; only this machine can ask unless told otherwise
    port : 0 takes a free one

    Raises StreamError when the port is taken, or the interface is not this machine's own:
    Prometheus' text has no password, so leave the way out to a proxy that has one.
    """

    def __init__(self, *collectors: Collector, port: int, address: str = "127.0.0.1") -> None:
        if not is_local(f"tcp://{in_url(address)}"):
            raise StreamError(
                f"metrics on {address}: leaves this machine without a password. Use 127.0.0.1, and "
                "a proxy that asks for one."
            )
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        try:
            server: tuple[HTTPServer, Thread] = start_http_server(port, address, registry)
        except OSError as error:
            raise StreamError(
                f"metrics on {address}:{port}: {error.strerror}. Choose a free port, or 0 for any."
            ) from error
        self._server, self._thread = server
        self.url = f"http://{in_url(address)}:{self._server.server_port}/metrics"

    def __enter__(self) -> "MetricsServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_accounting(text: str) -> dict[str, float]:
    """The counts in a page of metrics: a hub's kinds of frames, "shots" and "clock_faults"; of what
    has no hub, its own counts, and who was let in.

    Raises StreamError for a page that has none of them.
    """
    try:
        samples = list(_samples(text.splitlines()))
    except ValueError as error:
        raise StreamError(f"metrics: no Prometheus text ({error}). Give skyctl's URL.") from error
    found = {labels["kind"]: value for name, labels, value in samples if "kind" in labels}
    plain = {name: value for name, labels, value in samples if not labels}
    others = {labels["what"]: value for _, labels, value in samples if "what" in labels}
    if not found and not others:
        raise StreamError("metrics: not skyctl's. Give the URL that a hub's metrics have.")
    if not found:
        return others
    return {
        **others,
        **found,
        "shots": plain.get("skyctl_shots_total", math.nan),
        "missing_shots": plain.get("skyctl_missing_shots_total", math.nan),
        "clock_faults": plain.get("skyctl_clock_faults_total", math.nan),
        "clock_offset_ms": plain.get("skyctl_clock_offset_seconds", math.nan) * 1e3,
        "clock_uncertainty_ms": plain.get("skyctl_clock_uncertainty_seconds", math.nan) * 1e3,
    }


def _samples(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families("\n".join(lines)):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value

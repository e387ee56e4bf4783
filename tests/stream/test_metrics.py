"""Metrics: what a hub counted, as Prometheus and doctor read it."""

import math
import urllib.request

import numpy as np
import pytest

from skyctl.beamline import simulated_beamline
from skyctl.errors import StreamError
from skyctl.frame import COUNTS
from skyctl.stream.accounting import LatencyHistogram
from skyctl.stream.metrics import HubCollector, MetricsServer, read_accounting


@pytest.fixture
def serve(cleanup):
    def start(*collectors, **options):
        server = MetricsServer(*collectors, port=0, **options)
        cleanup.callback(server.close)
        with urllib.request.urlopen(server.url, timeout=20) as answer:
            return answer.read().decode()

    return start


def test_counts_are_what_the_hub_counted(publisher, listen, events, shots, serve):
    hub = listen(publisher.address, events.take)
    shots.send(publisher, "a", 5)
    publisher.start(shots.start("b", 3))
    publisher.end("run", "b", 3)
    events.ends(2)
    page = serve(HubCollector(hub, {"hub_to_verdict": LatencyHistogram()}))
    counts = read_accounting(page)
    assert set(COUNTS) < set(counts)
    assert (counts["received"], counts["missing"], counts["shots"]) == (5, 3, 2)
    assert counts["clock_offset_ms"] == 0
    assert 'skyctl_queued_bytes{consumer="test"} 0.0' in page
    assert 'skyctl_hub_to_verdict_seconds_bucket{le="+Inf"} 0.0' in page


def test_a_beamline_serves_what_its_hub_counts(tmp_path):
    with simulated_beamline(tmp_path, metrics_port=0) as beamline:
        with urllib.request.urlopen(beamline.metrics.url, timeout=20) as answer:
            page = answer.read().decode()
        assert read_accounting(page)["received"] == 0
        assert "skyctl_received_to_verdict_seconds_count 0.0" in page
        port = int(beamline.metrics.url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(StreamError, match=str(port)):
            simulated_beamline(tmp_path / "second", metrics_port=port)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(beamline.metrics.url, timeout=20)


@pytest.mark.parametrize("page", ["", "nonsense {", "other_total 3\n", '{"json": 1}'])
def test_a_page_of_somebody_elses_is_refused(page):
    with pytest.raises(StreamError, match="metrics"):
        read_accounting(page)


def test_metrics_stay_on_this_machine():
    with pytest.raises(StreamError, match="password"):
        MetricsServer(port=0, address="0.0.0.0")


def test_a_port_that_is_taken_is_named(cleanup):
    first = MetricsServer(port=0)
    cleanup.callback(first.close)
    port = int(first.url.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(StreamError, match=str(port)):
        MetricsServer(port=port)


def test_a_histogram_knows_its_quantiles():
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 1, 5000)
    histogram = LatencyHistogram()
    assert math.isnan(histogram.quantile(0.5))
    for value in values:
        histogram.add(value)
    assert histogram.total == 5000
    assert histogram.sum_ms == pytest.approx(values.sum())
    assert histogram.largest_ms == values.max()
    for fraction in (0.1, 0.5, 0.9, 0.99):
        assert histogram.quantile(fraction) == pytest.approx(np.quantile(values, fraction), rel=0.2)
    assert histogram.quantile(1.0) == histogram.largest_ms


def test_a_histogram_takes_durations_of_any_size():
    histogram = LatencyHistogram()
    for value in (-1.0, 0.0, 1e9):
        histogram.add(value)
    assert histogram.counts[0] == 2
    assert histogram.counts[-1] == 1

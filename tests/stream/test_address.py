"""Addresses that are not IPv4."""

import urllib.request

import pytest

from skyctl.stream.clock import measure_offset
from skyctl.stream.keys import is_local
from skyctl.stream.metrics import CountsCollector, MetricsServer
from skyctl.stream.publisher import Publisher
from skyctl.stream.sources.splitter import Output, Splitter

LOOPBACK = "tcp://[::1]:*"


def test_a_stream_over_ipv6_arrives(listen, events, shots, cleanup):
    assert is_local(LOOPBACK)
    publisher = Publisher(LOOPBACK, clock=LOOPBACK)
    cleanup.callback(publisher.close)
    assert measure_offset(publisher.clock_address).how == "measured"
    splitter = Splitter(publisher.address, [Output(LOOPBACK)])
    cleanup.callback(splitter.close)
    listen(splitter.addresses[0], events.take)
    shots.send(publisher)
    assert events.ends()[0].counts.received == 3


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_metrics_are_served_on_either_loopback(host):
    collector = CountsCollector("skyctl_frames", "x", lambda: {"received": 5})
    with (
        MetricsServer(collector, port=0, address=host) as served,
        urllib.request.urlopen(served.url, timeout=20) as page,
    ):
        assert b'what="received"} 5' in page.read()

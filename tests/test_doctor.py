"""doctor and keys: what they say, and when they end with 1."""

import json

import pytest
from typer.testing import CliRunner

from skyctl import doctor
from skyctl.cli import app
from skyctl.errors import StreamError
from skyctl.stream.hub import Hub
from skyctl.stream.metrics import CountsCollector, HubCollector, MetricsServer
from skyctl.stream.publisher import Publisher

runner = CliRunner()


def test_a_sound_installation_is_well(tmp_path):
    result = runner.invoke(app, ["doctor", "--json", str(tmp_path / "d.json")])
    report = json.loads((tmp_path / "d.json").read_text())
    assert result.exit_code == 0, result.output
    assert report["well"]
    assert report["accounting"]["test stream"]["received"] == 200
    assert report["accounting"]["test stream"]["missing"] == 0


def test_two_onnx_runtimes_are_a_fault(monkeypatch):
    monkeypatch.setattr(doctor, "_RUNTIMES", ("onnxruntime", "numpy"))
    finding = doctor._runtime()
    assert not finding.well
    assert "uninstall both" in finding.found


def test_a_running_hub_is_asked():
    publisher = Publisher()
    hub = Hub(publisher.address)
    server = MetricsServer(HubCollector(hub), port=0)
    try:
        hub.totals["received"] = 41
        report = doctor.check_up(server.url)
    finally:
        server.close()
        hub.close()
        publisher.close()
    assert report.accounting["running"]["received"] == 41


def test_whom_a_publisher_let_in_is_shown():
    counts = {"hubs": 1, "let in Yne@$w-v": 1}
    server = MetricsServer(CountsCollector("skyctl_published", "sent", lambda: counts), port=0)
    try:
        assert doctor.check_up(server.url).accounting["running"] == counts
    finally:
        server.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1:1/metrics"])
def test_a_hub_that_cannot_be_asked_is_named(url):
    with pytest.raises(StreamError, match=url):
        doctor._page(url)


def test_keys_are_made_once(tmp_path):
    name = str(tmp_path / "hutch")
    assert runner.invoke(app, ["keys", name]).exit_code == 0
    assert (tmp_path / "hutch.key_secret").stat().st_mode & 0o777 == 0o600
    assert runner.invoke(app, ["keys", name]).exit_code == 1

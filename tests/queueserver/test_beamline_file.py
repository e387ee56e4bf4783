"""The startup module with a beamline's file: its devices, or their simulated twins."""

import importlib
import inspect
import sys
from pathlib import Path

STARTUP = "skyctl.queueserver.startup"
FILE = Path(__file__).parents[2] / "docs" / "beamlines" / "scpi.toml"


def test_a_beamline_file_names_the_devices_of_a_queue_server(tmp_path, monkeypatch):
    text = FILE.read_text().replace("../../runs/practice-scpi", "kept")
    (tmp_path / "beamline.toml").write_text('agent = "recipe"\n' + text)
    monkeypatch.setenv("SKYCTL_BEAMLINE", str(tmp_path / "beamline.toml"))
    monkeypatch.setenv("SKYCTL_MOCK", "1")
    sys.modules.pop(STARTUP, None)
    module = importlib.import_module(STARTUP)
    try:
        assert module.pulser.guard.envelope.shots == 200
        assert inspect.signature(module.cycle).parameters["agent"].default == "recipe"
        assert module.pulser.guard.ledger_path == tmp_path / "kept" / "mock" / "ledger.jsonl"
    finally:
        module._beamline.close()
        sys.modules.pop(STARTUP, None)

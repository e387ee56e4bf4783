"""Devices support the Bluesky protocols they claim, and describe themselves by the schemas."""

import json

import pytest
from bluesky import protocols as p
from event_model import DocumentNames, schema_validators

from skyctl.pulse import SETTINGS, Exposure

DESCRIPTOR = schema_validators[DocumentNames.descriptor]


@pytest.mark.parametrize(
    ("device", "protocol"),
    [
        *(
            ("pulser", protocol)
            for protocol in (
                p.Readable, p.Configurable, p.Movable, p.Checkable, p.Triggerable, p.Stageable,
                p.Stoppable, p.Pausable,
            )
        ),
        *(
            ("camera", protocol)
            for protocol in (
                p.Readable, p.Configurable, p.Triggerable, p.Stageable, p.Preparable, p.Pausable,
                p.Stoppable,
            )
        ),
        *(("camera.frames", protocol) for protocol in (p.Collectable, p.WritesStreamAssets)),
        *(
            ("classifier", protocol)
            for protocol in (
                p.Readable, p.Configurable, p.Triggerable, p.Stageable, p.Preparable, p.Pausable,
            )
        ),
        *(("decisions", protocol) for protocol in (p.Readable, p.Movable, p.Checkable)),
    ],
)  # fmt: skip
def test_a_device_supports_its_protocols(beamline, device, protocol):
    for name in device.split("."):
        beamline = getattr(beamline, name)
    assert p.check_supports(beamline, protocol) is beamline


def descriptor(data_keys, configuration):
    return {
        "uid": "u",
        "time": 0.0,
        "run_start": "r",
        "name": "primary",
        "object_keys": {},
        "hints": {},
        "data_keys": data_keys,
        "configuration": {"device": {"data": {}, "timestamps": {}, "data_keys": configuration}},
    }


@pytest.mark.parametrize("name", ["pulser", "camera", "classifier", "decisions"])
def test_the_data_keys_fit_the_schema_and_the_readings(beamline, name):
    device = getattr(beamline, name)
    keys, configuration = device.describe(), device.describe_configuration()
    DESCRIPTOR.validate(descriptor(keys, configuration))
    assert set(keys) == set(device.read())
    assert set(configuration) == set(device.read_configuration())
    kinds = {"number": float, "integer": int, "string": str}
    for key, reading in {**device.read(), **device.read_configuration()}.items():
        described = {**keys, **configuration}[key]
        assert isinstance(reading["value"], kinds[described["dtype"]])
        assert described["dtype_numpy"][0] == "<"
        assert described["shape"] == []
        assert not {".", "/"} & set(key)


def test_every_setting_has_units_and_both_limits(beamline):
    keys = beamline.pulser.describe()
    for name in SETTINGS:
        low, high = getattr(beamline.pulser.guard.envelope, name)
        assert keys[f"pulser_{name}"]["units"]
        assert keys[f"pulser_{name}"]["limits"]["control"] == {"low": low, "high": high}


def test_the_frames_fit_the_schema(beamline):
    beamline.camera.stage()
    keys = beamline.camera.frames.describe_collect()
    beamline.camera.unstage()
    DESCRIPTOR.validate(descriptor(keys, {}))
    assert keys["camera_frames"]["shape"] == list(beamline.sample.shape)
    assert {key["external"] for key in keys.values()} == {"STREAM:"}


def test_hinted_fields_are_numbers_and_the_verdict(beamline):
    for device in (beamline.pulser, beamline.camera, beamline.classifier):
        fields = set(device.hints["fields"]) - {"classifier_label"}
        assert {device.describe()[name]["dtype"] for name in fields} <= {"number", "integer"}
        assert fields
    assert "classifier_label" in beamline.classifier.hints["fields"]


def test_only_a_decision_is_written_down(beamline):
    with pytest.raises(AttributeError):
        beamline.decisions.set({"task": "write"})


def test_an_exposure_needs_a_name():
    with pytest.raises(ValueError, match="shot"):
        Exposure(shot="")


def test_readings_are_numbers_that_json_has(beamline):
    """Also those of what was never measured: documents are kept as JSON."""
    for name in ("pulser", "camera", "classifier", "decisions"):
        device = getattr(beamline, name)
        json.dumps([device.read(), device.read_configuration()], allow_nan=False)


def test_a_device_says_what_it_is_in_one_line(beamline):
    for name in ("pulser", "camera", "classifier", "decisions"):
        shown = repr(getattr(beamline, name))
        assert shown.startswith(f"{type(getattr(beamline, name)).__name__}({name}: ")
        assert len(shown) < 140
        assert "read_attrs" not in shown

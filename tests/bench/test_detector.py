"""Images of a detector to verdicts: every one, by either way."""

from skyctl.bench.detector import detector_to_verdict


def test_every_image_of_a_detector_has_a_verdict():
    rows = detector_to_verdict(40.0, 20)
    assert [row["by"].split(",")[-1] for row in rows] == [
        " uint16 counts", " each movie registered", " float32 S_z"
    ]  # fmt: skip
    for row in rows:
        assert (row["images"], row["verdicts"], row["missing"]) == (20, 20, 0)
        assert 0 < row["received_p50_ms"] <= row["received_p99_ms"]

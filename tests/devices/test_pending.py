"""Shots that are waited for by name."""

from ophyd import Device

from skyctl.devices.pending import PendingShots


def test_only_the_last_shots_that_are_over_are_known():
    """In a run of days each would stay in the memory."""
    shots = PendingShots(Device(name="camera"))
    for number in range(1500):
        shots.finish(str(number))
    assert [number for number in range(1500) if shots.knows(str(number))] == [*range(500, 1500)]
    assert shots.expect("1499", 60.0, "a source").done

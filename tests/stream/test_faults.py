"""Faults with real processes: the account equals what was really sent."""

import pytest

from skyctl.bench import faults, soak


def check(row):
    assert row.right, row
    assert row.accounted >= row.sent or row.received == row.sent, row


def test_a_publisher_killed_in_its_movie_and_restarted():
    check(faults.publisher_restarted())


def test_a_consumer_that_was_stopped_loses_nothing():
    row = faults.consumer_stopped(2.0)
    check(row)
    assert row.lost == 0


def test_a_consumer_killed_and_followed_by_another():
    check(faults.consumer_killed(frames=300))


def test_a_second_consumer_attached_by_mistake_shows():
    row = faults.second_consumer(frames=300, rate=100.0)  # a busy machine takes a second to attach
    check(row)
    assert row.lost == 0


@pytest.mark.parametrize("fault", faults.SCRIPTS)
def test_messages_lost_repeated_and_disordered(fault):
    check(faults.messages_lost(fault))


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_loses_no_frame(jump_s):
    row = faults.clock_jump(jump_s, frames=100)
    check(row)
    assert row.lost == 0


def test_a_port_scanner_is_given_no_frames():
    row = faults.port_scanner()
    check(row)
    assert row.lost == 0


def test_a_short_soak_loses_nothing():
    result = soak.soak(minutes=0.05)
    assert result["sent"] == result["received"] == 3000
    assert result["by_subscriber"] == [3000, 3000]
    assert result["unaccounted"] == 0


@pytest.mark.slow
def test_a_consumer_that_was_stopped_for_long_loses_nothing():
    check(faults.consumer_stopped(10.0))

"""Accounting: gaps, repetitions and disorder of one shot, each counted apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.frame import Counts
from skyctl.stream.accounting import ShotAccount


@pytest.fixture
def count(closed):
    """Counts of a shot of 4 promised frames whose frames came with these indices."""

    def of(indices, sent=4, promised=4):
        return closed(indices, sent, promised).counts

    return of


@pytest.fixture
def closed(shots):
    """The end of a shot whose frames came with these indices."""

    def of(indices, sent=4, promised=4, ended_early=False):
        account = ShotAccount(shots.start(frames=promised))
        passed = [index for index in indices if account.accept(shots.frame(index))]
        assert passed == list(dict.fromkeys(indices)), "each frame goes on once, in order of coming"
        return account.close(sent, ended_early=ended_early)

    return of


def test_a_whole_movie_is_complete(count):
    assert count([0, 1, 2, 3]) == Counts(received=4)
    assert count([0, 1, 2, 3]).complete


@pytest.mark.parametrize(
    ("indices", "counts"),
    [
        ([0, 1, 3], Counts(received=3, missing=1)),
        ([1, 2, 3], Counts(received=3, missing=1)),
        ([], Counts(missing=4)),
        ([0, 2, 1, 3], Counts(received=4, reordered=1)),
        ([3, 2, 1, 0], Counts(received=4, reordered=3)),
    ],
)
def test_a_movie_with_a_gap_or_out_of_order_is_not_complete(count, indices, counts):
    assert count(indices) == counts
    assert not counts.complete


def test_a_frame_that_comes_twice_is_counted_and_harms_nothing(count):
    assert count([0, 1, 1, 2, 3, 0]) == Counts(received=4, duplicates=2)
    assert count([0, 1, 1, 2, 3, 0]).complete


def test_a_frame_of_another_shape_than_its_start_said_is_not_complete(shots):
    account = ShotAccount(shots.start(frames=2))
    frame = shots.frame(1)
    assert account.accept(shots.frame(0))
    assert account.accept(replace(frame, data=frame.data[:1]))
    counts = account.close(2).counts
    assert counts == Counts(received=2, unrecorded=1)
    assert not counts.complete


def test_a_lost_tail_shows_when_the_end_came(count):
    assert count([0, 1]) == Counts(received=2, missing=2)


def test_a_lost_tail_shows_when_the_end_never_came(count):
    assert count([0, 1], sent=None) == Counts(received=2, missing=2)


def test_frames_that_the_source_promised_and_did_not_send_are_missing(count):
    assert count([0, 1], sent=2) == Counts(received=2, missing=2)


def test_more_frames_than_promised_are_held_to_the_number_sent(count):
    assert count([0, 1, 2, 3, 4], sent=6) == Counts(received=5, missing=1)


def test_a_number_beyond_what_was_promised_shows_the_gap_before_it(count):
    assert count([0, 1, 2, 3, 6], sent=5) == Counts(received=5, missing=2)


def test_a_count_that_cannot_be_true_is_closed_without_counting_up_to_it(count):
    assert count([0], sent=10**15) == Counts(received=1, missing=10**15 - 1)


def test_frames_that_a_movie_ended_early_never_exposed_are_not_missing(closed):
    end = closed([0, 1], sent=2, ended_early=True)
    assert end.counts == Counts(received=2)
    assert end.counts.complete
    assert end.ended_early


def test_a_lost_tail_of_a_movie_ended_early_shows(closed):
    end = closed(range(15), sent=16, promised=34, ended_early=True)
    assert end.counts == Counts(received=15, missing=1)
    assert end.ended_early


def test_a_movie_ended_early_too_late_is_a_whole_movie(closed):
    end = closed([0, 1, 2, 3], sent=4, ended_early=True)
    assert end.counts == Counts(received=4)
    assert not end.ended_early


def test_a_movie_ended_early_by_a_source_that_does_not_count_has_the_numbers_that_came(closed):
    end = closed([0, 2], sent=None, ended_early=True)
    assert end.counts == Counts(received=2, missing=1)
    assert end.ended_early


def test_messages_that_are_no_frames_are_counted_by_name(shots):
    account = ShotAccount(shots.start(frames=0))
    for what in ("stray", "foreign", "foreign", "undecodable"):
        account.note(what)
    assert account.close(0).counts == Counts(stray=1, foreign=2, undecodable=1)


def test_an_account_owns_its_shot_of_its_run(shots):
    account = ShotAccount(shots.start("a"))
    assert account.owns(shots.frame(0, "a"))
    assert not account.owns(shots.frame(0, "b"))
    assert not account.owns(shots.frame(0, "a", run="another"))


@settings(deadline=None, max_examples=200)
@given(
    indices=st.lists(st.integers(0, 9), max_size=20),
    sent=st.none() | st.integers(0, 12),
    promised=st.integers(0, 12),
    ended_early=st.booleans(),
)
def test_counts_agree_with_a_naive_model(indices, sent, promised, ended_early):
    from skyctl.frame import Frame, ShotStart
    from skyctl.pulse import FrameSchedule

    account = ShotAccount(ShotStart("r", "s", None, FrameSchedule(), promised, (1, 1)))
    for index in indices:
        account.accept(Frame("r", "s", index, 0.0, 0, np.zeros((1, 1), np.float32)))
    end = account.close(sent, ended_early=ended_early)
    counts = end.counts

    known = set(range(sent or 0)) | set(range(max(indices, default=-1) + 1))
    assert end.ended_early == (ended_early and len(known) < promised)
    if not ended_early:
        known |= set(range(promised))
    firsts = [i for at, i in enumerate(indices) if i not in indices[:at]]
    assert counts.received == len(set(indices))
    assert counts.duplicates == len(indices) - len(set(indices))
    assert counts.missing == len(known - set(indices))
    late = [i for at, i in enumerate(firsts) if any(earlier > i for earlier in firsts[:at])]
    assert counts.reordered == len(late)

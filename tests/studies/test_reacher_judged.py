"""The reacher's lives: the target is reached on a sample that nobody saw, and told as it is."""

import numpy as np

from skyctl.agents.reacher import LEAST_APART
from skyctl.studies.reacher_judged import drawn_target, judge


def test_targets_are_apart_and_reached_on_an_unseen_sample():
    places = np.array(drawn_target(4).places)
    assert min(np.hypot(*(places[k] - places[k - 1])) for k in range(3)) >= LEAST_APART
    told = judge([4], ("reacher",))["agents"]["reacher"]
    assert told["reached"] == 1
    assert told["said_and_not_so"] == 0
    assert 3 <= told["median_pulses"] <= 6


def test_it_is_the_looks_that_reach_and_not_the_network():
    told = judge([4], ("network that tells nothing", "network, looks blank"))["agents"]
    assert told["network that tells nothing"]["reached"] == 1
    assert told["network, looks blank"]["reached"] == 0
    assert told["network, looks blank"]["said_and_not_so"] == 0

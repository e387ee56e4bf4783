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


def test_it_is_the_looks_that_reach_and_an_unsound_network_that_is_held():
    names = "network at random", "network at random, not held", "network, looks blank"
    held, unheld, blank = (judge([4], (name,))["agents"][name] for name in names)
    assert unheld["reached"] == 1
    assert held["reached"] == blank["reached"] == 0
    assert held["lives"][0]["reason"].startswith("held fire: the classifier is not to be trusted")
    assert blank["said_and_not_so"] == 0

"""Steering judged: what takes the network away, and what a life's summary counts."""

from types import SimpleNamespace

import numpy as np

from skyctl.studies.steering_judged import SHOTS, _OfAnother, _summary


def test_a_network_of_others_says_of_each_sequence_what_holds_of_another():
    asked = []
    network = SimpleNamespace(
        card="its card", encode=len, decode=len, imagine=lambda z, fields_T: asked.append(fields_T)
    )
    fields_T = np.arange(30.0).reshape(10, 1, 3)
    others = _OfAnother(network)
    others.imagine(None, fields_T)
    assert others.card == "its card"
    (said,) = asked
    assert sorted(said.ravel()) == sorted(fields_T.ravel())
    assert (said != fields_T).any(axis=(1, 2)).mean() > 0.5


def test_only_the_shots_that_were_allowed_count_as_reached():
    costs = [0.5] * SHOTS + [0.1]
    told = _summary([{"costs": costs}, {"costs": [0.1]}])
    assert told["reached"] == 0.5
    assert told["best_of_shots_median"] == 0.3

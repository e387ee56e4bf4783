"""The live page: see the film, know why, approve, stop.

>>> from skyctl.monitor import Monitor

A `Monitor` watches a beamline and serves its page; a `PageServer` serves that of a `Watch` (a
recording that is streamed again) or of a `RecordedView` (one that is looked at). A file a part:
people, controls, action_log (who may act, what they may do, what they did), film, account, live,
recorded (what is shown), app, server (how it is told), page/ (HTML, CSS and JavaScript).
"""

from skyctl.monitor.live import Monitor, Watch
from skyctl.monitor.people import People, Person
from skyctl.monitor.recorded import RecordedView
from skyctl.monitor.server import PageServer

__all__ = ["Monitor", "PageServer", "People", "Person", "RecordedView", "Watch"]

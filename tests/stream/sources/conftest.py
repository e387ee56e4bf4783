"""A hub on what a real sender sends."""

import pytest


@pytest.fixture
def attach(listen, events):
    """Connects a hub to a source; gives its events and itself."""

    def connect(source):
        return events, listen(source, events.take)

    return connect

"""Sources of the frame stream: a hub takes frames from any of them.

>>> from skyctl.stream.hub import Hub
>>> from skyctl.stream.sources.dectris import DectrisParser
>>> from skyctl.stream.sources.pixels import Scaling
>>> from skyctl.stream.sources.source import Source
>>> from skyctl.stream.sources.transports import ZmqTransport
>>> parser = DectrisParser(Scaling(offset=1200, scale=1 / 400), channel="threshold_1")
>>> hub = Hub(Source(ZmqTransport("tcp://127.0.0.1:31001"), parser))

==================  =====================================  ================================
source              transport                              parser
==================  =====================================  ================================
our own             ``own_source(address)``                ``OwnParser``
DECTRIS Stream V2   ``ZmqTransport(address)``              ``DectrisParser``
EPICS areaDetector  ``PvaTransport(pv)``                   ``NtndArrayParser``
PSI array-1.0       ``ZmqTransport(address, "sub")``       ``Array10Parser``
a recording         ``recorded_source(recording.shots())``
==================  =====================================  ================================

A detector that pushes has a ``Splitter`` behind it (``skyctl split``), and the hub connects to
that.
"""

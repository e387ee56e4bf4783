"""Errors a user can meet. Each message names the thing, the fault and the remedy."""

import contextlib
from collections.abc import Iterator


def install(extra: str) -> str:
    """What installs an extra, for messages: the name `skyctl` on the package index is another's."""
    return f"pip install 'bluesky-skyctl[{extra}]' (in a checkout: pip install '.[{extra}]')"


class SkyctlError(Exception):
    """Base of all errors that skyctl raises on purpose."""


class ExtraMissing(SkyctlError, ImportError):
    """A part of skyctl wants a library that only an extra installs."""


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around imports that only an extra installs. Raises ExtraMissing, with what to type."""
    try:
        yield
    except ExtraMissing:
        raise
    except ImportError as error:
        raise ExtraMissing(f"{error}: {install(extra)}") from error


class DeviceMissing(SkyctlError, RuntimeError):
    """A CUDA device was asked for and is not there."""


class StreamError(SkyctlError):
    """The frame stream cannot be opened, or stopped."""


class UndecodableMessage(SkyctlError):
    """Bytes that are not a stream message."""


class ForeignMessage(SkyctlError):
    """A well-formed message that is not of this stream."""


class ModelError(SkyctlError):
    """A model file is missing, foreign or does not fit its metadata."""


class RecordingError(SkyctlError):
    """A recording cannot be written or read."""


class FormatError(SkyctlError):
    """A file of another program that cannot be read, or cannot hold what it should."""


class FilmUnreadable(SkyctlError):
    """An image that says nothing of the film, which is not the same as an empty film."""


class MonitorError(SkyctlError):
    """The live page cannot be served, or who may act on it is not known."""


class PulseRefused(SkyctlError):
    """The pulser's guard refused to fire. Nothing was sent.

    kind : what it is counted as, one of skyctl.devices.guard.REFUSALS; "driver" where it was not
        the guard but what sends the pulses
    """

    def __init__(self, message: str, kind: str = "driver") -> None:
        super().__init__(message)
        self.kind = kind


class NotFired(PulseRefused):
    """The instrument was asked to fire and did not: its shot counter stands where it stood. The
    shot is booked, and spent."""


class FireUnknown(SkyctlError):
    """The instrument was asked to fire and does not say whether it did. The shot counts as fired,
    and nothing more is fired until it is reconciled."""


class PartlyFired(FireUnknown):
    """Only some of a shot's pulses were fired, and how many is known; all are booked."""


class InstrumentError(SkyctlError):
    """An instrument is set up wrongly, or answers something else than it was asked."""


class InstrumentSilent(InstrumentError):
    """An instrument that does not answer, or no more."""

"""ClassifierDevice: the verdict on a movie, and what the camera saw of the film, as signals."""

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.belief import UNTRUSTED, Belief, Reliability
from skyctl.devices.pending import PendingShots
from skyctl.devices.signals import StateSignal, counters
from skyctl.errors import ModelError
from skyctl.inference.streaming import StreamingClassifier
from skyctl.process import KINDS, MIXED
from skyctl.pulse import Exposure
from skyctl.stream.hub import Consumer, Hub
from skyctl.verdict import SEEN, ShotResult, Verdict

_MOST_OFF = 1e6
"""JSON knows no infinity, which an image that shows nothing scores."""
_NOT_LOOKED = "the film was not looked at yet"


class ClassifierDevice(Device):
    """Classifies every movie of a hub; ``trigger()`` is done with the result of the prepared shot.

    It is also an interlock of the pulser (``hold_reason``): it holds fire until the film was seen,
    after a movie that lost a frame, after a mixed or no verdict until a look has shown the film
    again, and when what it knows is stale. Only a movie that was prepared here, and since fire was
    held, lifts the hold; one of anybody else may hold fire and changes nothing besides.

    Triggered without a movie prepared since the last was read, as ``count`` does, it is done with
    the result of the look that its camera takes (``film_with``). Where that is not staged there is
    none, and ``shot`` and ``label`` in its reading are "".

    streaming : the classifier; hub : where frames arrive; timeout_s : longest wait for a result
    max_age_s : how long the film may be judged by its last frame, since that left the source
    max_delay_s : how long a result may have taken since then
    policy : "newest" classifies only the newest of the frames that wait, none older than
        ``max_delay_s``; a movie of which frames were so passed over holds fire
    """

    shot = Component(StateSignal, value="", dtype_numpy="<U64")
    label = Component(
        StateSignal, value="", dtype_numpy="<U16", doc="unsure: the network abstains",
        kind=Kind.hinted,
    )  # fmt: skip
    confidence = Component(StateSignal, value=0.0, dtype_numpy="<f8", kind=Kind.hinted)
    novelty = Component(
        StateSignal, value=0.0, dtype_numpy="<f8", doc="of the most foreign frame; 0: not known"
    )
    off_states = Component(
        StateSignal, value=0.0, dtype_numpy="<f8",
        doc="above 1: no state of this sample; 0: not asked",
    )  # fmt: skip
    problem = Component(StateSignal, value="", dtype_numpy="<U160")
    stale = Component(StateSignal, value=0, dtype_numpy="<i8", doc="frames passed over")
    frames_classified = Component(StateSignal, value=0, dtype_numpy="<i8")
    latency_p50 = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="ms")
    latency_max = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="ms")
    vars().update(counters(dict.fromkeys(SEEN), hinted=("discs",)))
    vars().update(
        {
            f"believed_{kind}": Component(
                StateSignal, value=0.0, dtype_numpy="<f8", doc=f"P({kind})"
            )
            for kind in KINDS
        }
    )
    believed_background = Component(StateSignal, value=0, dtype_numpy="<i8")
    believed_unsound = Component(
        StateSignal, value=0.0, dtype_numpy="<f8", doc="P(the network is not to be trusted)"
    )
    unreadable = Component(
        StateSignal, value="", dtype_numpy="<U160", doc="why a look shows nothing"
    )
    model_sha256 = Component(StateSignal, value="", dtype_numpy="<U64", kind=Kind.config)
    provider = Component(StateSignal, value="", dtype_numpy="<U32", kind=Kind.config)

    def __init__(
        self, prefix: str = "", *, name: str, streaming: StreamingClassifier, hub: Hub,
        timeout_s: float = 60.0, max_age_s: float = 300.0, max_delay_s: float = 5.0,
        policy: Literal["lossless", "newest"] = "lossless", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(prefix, name=name, **kwargs)
        self._max_age_s, self._max_delay_s = max_age_s, max_delay_s
        self._seen_s = 0.0
        self.classes = streaming.model.card.classes
        self.probabilities = [
            StateSignal(name=f"{name}_p_{label}", parent=self, value=0.0, dtype_numpy="<f8")
            for label in self.classes
        ]
        self.model_sha256.update(streaming.model.card.file_sha256)
        self.provider.update(streaming.model.provider)
        self.result: ShotResult | None = None
        self._streaming = streaming
        streaming.ours = self._is_prepared
        self._hub, self._timeout_s = hub, timeout_s
        self._results = PendingShots(self)
        self._exposure: Exposure | None = None
        self._hold, self._spoilt, self._spoilt_before = _NOT_LOOKED, 0, 0
        self._unseen = False
        self._read_shot = ""
        self._look: Callable[[str], Exposure | None] | None = None
        self._consumer = Consumer(
            "classifier", streaming.handle, on_error=self._results.fail, policy=policy,
            max_age_s=max_delay_s if policy == "newest" else None,
        )  # fmt: skip
        streaming.subscribe(self._take)
        hub.subscribe(self._consumer)

    def __repr__(self) -> str:
        card = self._streaming.model.card
        said = f"{self.label.get()} of shot {str(self.shot.get())[:8]}"
        verdict = said if self.label.get() else "no verdict yet"
        return f"ClassifierDevice({self.name}: {card.name} {card.version}, {verdict})"

    def film_with(self, look: Callable[[str], Exposure | None]) -> None:
        """Whom to ask for a look, ``FilmCamera.look_unless_new``."""
        self._look = look

    def stage(self) -> list[object]:
        """Forget what was seen in an earlier run: the film is looked at anew."""
        self._hold, self._unseen, self._exposure = _NOT_LOOKED, False, None
        return super().stage()

    def prepare(self, value: Exposure) -> Status:
        """Name the movie whose result the next trigger waits for."""
        if self._exposure is None or value.shot != self._exposure.shot:
            self._spoilt_before = self._spoilt
        self._exposure, self._read_shot = value, ""
        status = Status(self)
        status.set_finished()
        return status

    def trigger(self) -> Status:
        """Done with the result of what is prepared or, where that was read already, of a look."""
        known = self._exposure is not None and self._exposure.shot != self._read_shot
        if known or self._look is None:
            return self.movie_over()
        if exposure := self._look(self._read_shot):
            self.prepare(exposure)
            return self.movie_over()
        self.shot.update("")
        self.label.update("")
        status = Status(self)
        status.set_finished()
        return status

    def movie_over(self) -> Status:
        """A status that is done when the prepared movie's result is in the signals. Raises
        ModelError where none is prepared, or the classifier stopped."""
        if self._exposure is None:
            raise ModelError(
                f"{self.name}: no exposure prepared. Prepare an Exposure first (the plans of "
                "skyctl.plans do)."
            )
        if self._consumer.error:
            raise ModelError(f"{self.name}: {self.hold_reason()}") from self._consumer.error
        return self._results.expect(self._exposure.shot, self._timeout_s, self._hub.address)

    def _is_prepared(self, run: str, shot: str) -> bool:
        """Whether this is the prepared movie, and of the run that a camera here films it for."""
        filmed = self._hub.expected
        if self._exposure is None or shot != self._exposure.shot:
            return False
        return filmed is None or filmed.shot != shot or filmed.run == run

    def stop(self, *, success: bool = False) -> None:
        """Wait no longer for the prepared movie: its pulse was not fired."""
        if self._exposure:
            self._results.finish(self._exposure.shot)
        super().stop(success=success)

    def pause(self) -> None:
        """Go on classifying, and wait for the result as long as the pause may last."""
        self._results.pause()
        super().pause()

    def resume(self) -> None:
        """Count the time again that a result may take."""
        self._results.resume()
        super().resume()

    def read(self) -> dict[str, Any]:
        """The signals, and the probability of each class."""
        reading: Any = super().read()
        for signal in self.probabilities:
            reading.update(signal.read())
        if self._exposure and self._results.is_over(self._exposure.shot):
            self._read_shot = self._exposure.shot
        return reading

    def describe(self) -> dict[str, Any]:
        """The data keys of ``read``."""
        keys: Any = super().describe()
        for signal in self.probabilities:
            keys.update(signal.describe())
        return keys

    def hold_reason(self) -> str:
        """Interlock: why nothing may be fired as far as the classifier knows."""
        if self._consumer.error:
            return f"the classifier stopped ({self._consumer.error}); start skyctl again"
        if reason := distrust(self._streaming.belief, self._streaming.model.card.reliability):
            return reason
        if self._hold:
            return self._hold
        age = time.monotonic() - self._seen_s
        if age > self._max_age_s:
            return (
                f"the film was last seen {age:.0f} s ago, longer than {self._max_age_s:g} s; "
                "look again"
            )
        return ""

    def close(self) -> None:
        """Stop classifying."""
        self._hub.unsubscribe(self._consumer)
        self._consumer.close()

    def _take(self, news: Verdict | ShotResult) -> None:
        if isinstance(news, Verdict):
            return
        now = time.monotonic()
        seen_s = news.seen_ns / 1e9 if news.seen_ns else now
        hold, unseen = hold_after(news), bool(news.problem)
        if not hold and now - seen_s > self._max_delay_s:
            unseen = True
            hold = (
                f"the result of shot {news.shot} came {now - seen_s:.1f} s after its last "
                f"frame left the source, over {self._max_delay_s:g} s; look again"
            )
        if hold:
            self._hold, self._spoilt = hold, self._spoilt + 1
            self._unseen = self._unseen or unseen
        if not self._is_prepared(news.run, news.shot):
            return
        # A look that shows nothing lifts no hold that asks for the film to be seen.
        if (
            not hold
            and self._spoilt == self._spoilt_before
            and not (news.unreadable and self._unseen)
        ):
            self._hold, self._unseen = "", False
        self._seen_s = seen_s
        self._show(news)
        self._results.finish(news.shot)

    def _show(self, news: ShotResult) -> None:
        self.result = news
        verdict = news.verdict
        self.shot.update(news.shot)
        self.label.update(news.label)
        self.problem.update(news.problem)
        self.unreadable.update(news.unreadable)
        for kind in KINDS:
            getattr(self, f"believed_{kind}").update(news.belief.probability(kind))
        self.believed_background.update(news.belief.background)
        self.believed_unsound.update(news.belief.unsound)
        probabilities = verdict.probabilities if verdict else (0.0,) * len(self.classes)
        for signal, probability in zip(self.probabilities, probabilities, strict=True):
            signal.update(probability)
        self.confidence.update(max(probabilities))
        novelty = verdict.novelty if verdict else 0.0
        self.novelty.update(novelty if math.isfinite(novelty) else 0.0)  # JSON knows no infinity
        self.off_states.update(min(news.off_states, _MOST_OFF))
        latencies = news.latencies_ms or (0.0,)
        self.stale.update(news.counts.stale)
        self.frames_classified.update(len(news.latencies_ms))
        self.latency_p50.update(float(np.median(latencies)))
        self.latency_max.update(max(latencies))
        for name, value in news.seen.items():
            getattr(self, name).update(value)


def hold_after(result: ShotResult) -> str:
    """Why nothing may be fired after a movie with this result, or ""."""
    if result.problem:
        return f"the movie of shot {result.shot} is not whole ({result.problem}); look again"
    if result.verdict is None or result.belief.is_sure:
        return ""
    if result.verdict.label is None:
        why = f" ({result.verdict.outside})" if result.verdict.outside else ""
        return f"the verdict of shot {result.shot} abstains{why}; look at the film first"
    if result.label == MIXED:
        return f"shot {result.shot} left a mixed film; look at it first"
    return ""


def distrust(belief: Belief, reliability: Reliability) -> str:
    """Why the network is not to be trusted, or ""."""
    if belief.unsound < UNTRUSTED:
        return ""
    told = belief.told
    faults = {
        f"looks contradicted it {told.contradicted} times in {told.agreed + told.contradicted}": (
            told.contradicted
        ),
        f"it contradicted itself {told.itself} times": told.itself,
        f"it named nothing {told.unnamed} times": told.unnamed,
    }
    found = ", ".join(fault for fault, times in faults.items() if times)
    return (
        f"the classifier is not to be trusted here: {found}, and its card allows "
        f"{reliability.wrong:.1%} wrong and {reliability.abstains:.0%} not named. See what the "
        "camera shows, and whether the model is made for it"
    )

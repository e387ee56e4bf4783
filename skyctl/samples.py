"""A pulse written briefly: in place of a waveform's samples their hash, and back.

Ledgers, recordings and readings hold a pulse in a line of bounded length; a measured waveform has
thousands of samples. They stand once beside it, by their hash, and whoever reads the pulse gets
them only where they still have it. Messages carry the samples themselves.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from skyctl.pulse import Pulse
from skyctl.waveform import Sampled

Samples = Callable[[str], bytes]
"""Gives the samples of a hash, as ``Sampled.as_bytes``. Raises LookupError where it has none."""


def hash_of(samples: bytes) -> str:
    """What samples are called, 64 hexadecimal digits."""
    return hashlib.sha256(samples).hexdigest()


def samples_of(pulse: Pulse) -> dict[str, bytes]:
    """The samples of a pulse and its second, by their hash; {} of one that has none."""
    parts = (pulse, pulse.second)
    waves = [part.waveform for part in parts if part and isinstance(part.waveform, Sampled)]
    return {hash_of(content): content for content in (wave.as_bytes() for wave in waves)}


def brief(pulse: Pulse) -> dict[str, Any]:
    """The pulse as plain values, samples by their hash; their extent and ∫ are for people."""
    told = pulse.model_dump()
    for part, of_it in _parts(told, pulse):
        if isinstance(of_it.waveform, Sampled):
            wave, width_ps = of_it.waveform, of_it.width_ps
            part["waveform"] = {
                "kind": "sampled",
                "sha256": hash_of(wave.as_bytes()),
                "samples": len(wave.values),
                "from_ps": wave.times_ps[0],
                "to_ps": wave.times_ps[-1],
                "on_ps": wave.on_ps(width_ps),
                "square_ps": wave.square_ps(width_ps),
            }
    return told


def brief_text(pulse: Pulse) -> str:
    """The same as JSON."""
    return json.dumps(brief(pulse), separators=(",", ":"))


def whole(told: dict[str, Any], samples: Samples) -> Pulse:
    """The pulse of what ``brief`` told. Raises ValueError, also where its samples are not there or
    are not those of the hash."""
    told = dict(told)
    if isinstance(told.get("second"), dict):
        told["second"] = dict(told["second"])
    for part in (told, told.get("second")):
        wave = part.get("waveform") if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(wave, dict) and "sha256" in wave:
            part["waveform"] = _sampled(wave["sha256"], samples)
    return Pulse.model_validate(told)


def _sampled(digest: Any, samples: Samples) -> Sampled:
    try:
        content = samples(digest)
    except LookupError as error:
        raise ValueError(f"the samples {digest} of its waveform are missing") from error
    if hash_of(content) != digest:
        raise ValueError(f"the samples {digest} of its waveform are not as they were written")
    return Sampled.of_bytes(content)


def _parts(told: dict[str, Any], pulse: Pulse) -> Iterator[tuple[dict[str, Any], Pulse]]:
    yield told, pulse
    if pulse.second:
        yield told["second"], pulse.second

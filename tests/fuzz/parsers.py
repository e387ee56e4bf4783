"""Fuzzer of everything that reads bytes of strangers: `make fuzz`, or

    python tests/fuzz/parsers.py --inputs 1000000 [--only wire] [--engine hypothesis] [--json FILE]

Each parser runs in a process of its own, whose memory is limited, under atheris (guided by
coverage) where that is installed, else under hypothesis. Inputs are its seeds, mutated, and random
bytes. A parser may read an input or refuse it with its own error. Anything else ends the process:
another error, a crash, an input that takes seconds, or more memory than a message may need.
"""

import argparse
import faulthandler
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

LIMIT_BYTES = 512 * 2**20
"""What one process may allocate beyond what it has when it begins."""
LONGEST_S = 10
LONGEST_INPUT = 70_000


@dataclass(frozen=True)
class Target:
    """One parser: what it is given, how it may refuse, and its share of the inputs."""

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: list[bytes]
    share: float


def _wire() -> Target:
    import numpy as np

    from skyctl.errors import ForeignMessage, UndecodableMessage
    from skyctl.frame import Frame, ShotStart
    from skyctl.pulse import FrameSchedule, Pulse, Spot
    from skyctl.stream import wire

    pulse = Pulse(width_ps=8, spot=Spot(x=1, y=2, sigma=3))
    seeds = [wire.encode_start(ShotStart("run", "s", pulse, FrameSchedule(), 8, (4, 5)))]
    seeds += [wire.encode_end("run", "s", 8)]
    for shape in ((4, 5), (3, 4, 5), (100, 100)):
        frame = Frame("run", "s", 3, 15.0, 7, np.zeros(shape, np.float32))
        seeds += [bytes(wire.encode_frame(frame))]
    return Target(wire.decode, (UndecodableMessage, ForeignMessage), seeds, 0.5)


def _own() -> Target:
    """What follows a start: messages as its layout has them, and nearly so."""
    import numpy as np

    from skyctl.errors import ForeignMessage, UndecodableMessage
    from skyctl.frame import Frame, ShotStart
    from skyctl.pulse import FrameSchedule
    from skyctl.stream import wire
    from skyctl.stream.sources.own import OwnParser

    start = wire.encode_start(ShotStart("run", "s", None, FrameSchedule(), 8, (4, 5)))
    frame = Frame("run", "s", 3, 15.0, 7, np.zeros((4, 5), np.float32))

    def read(content: bytes) -> object:
        parser = OwnParser()
        parser.parse([memoryview(start)], 0)
        return parser.parse([memoryview(content)], 0)

    return Target(
        read, (UndecodableMessage, ForeignMessage), [bytes(wire.encode_frame(frame))], 0.3
    )


def _keys() -> Target:
    from skyctl.errors import StreamError
    from skyctl.stream.keys import parse_keys

    key = "a" * 40
    seeds = [f'curve\n    public-key = "{key}"\n    secret-key = "{key}"\n'.encode()]

    def read(content: bytes) -> object:
        return parse_keys(content[:4096].decode("latin-1"), "fuzz")

    return Target(read, (StreamError,), seeds, 0.25)


def _metrics() -> Target:
    from skyctl.errors import StreamError
    from skyctl.stream.metrics import read_accounting

    seeds = [b'# TYPE skyctl_frames counter\nskyctl_frames_total{kind="received"} 12.0\n']

    def read(content: bytes) -> object:
        return read_accounting(content.decode("utf-8", "replace"))

    return Target(read, (StreamError,), seeds, 0.15)


def _clock() -> Target:
    from skyctl.errors import StreamError
    from skyctl.stream.clock import read_answer

    return Target(lambda content: read_answer(b"01234567", content), (StreamError,),
                  [b"01234567" + bytes(8)], 0.1)  # fmt: skip


def _dectris() -> Target:
    import cbor2

    from skyctl.errors import ForeignMessage, UndecodableMessage
    from skyctl.stream.sources.dectris import DectrisParser
    from skyctl.stream.sources.pixels import Scaling

    series = {"series_id": 1, "series_unique_id": "one"}
    size = {
        "image_size_x": 5,
        "image_size_y": 4,
        "number_of_images": 3,
        "channels": ["threshold_1"],
    }
    start = cbor2.dumps({"type": "start", **series, **size})
    seeds = [start, cbor2.dumps({"type": "end", **series})]
    for tag, width in ((64, 1), (69, 2), (70, 4), (85, 4)):
        array = cbor2.CBORTag(40, [[4, 5], cbor2.CBORTag(tag, bytes(20 * width))])
        image = {"type": "image", **series, "image_id": 0, "data": {"threshold_1": array}}
        seeds.append(cbor2.dumps(image))

    def read(content: bytes) -> object:
        parser = DectrisParser(Scaling(offset=0, scale=1))
        parser.parse([memoryview(start)], 0)
        return parser.parse([memoryview(content)], 0)

    return Target(read, (UndecodableMessage, ForeignMessage), seeds, 0.25)


def _array10() -> Target:
    from skyctl.errors import ForeignMessage, UndecodableMessage
    from skyctl.stream.sources.array10 import Array10Parser
    from skyctl.stream.sources.pixels import Scaling

    header = {"htype": "array-1.0", "type": "uint16", "shape": [4, 5], "frame": 0}
    seeds = [json.dumps(header).encode() + b"\x00" + bytes(40)]

    def read(content: bytes) -> object:
        head, _, blob = content.partition(b"\x00")
        parser = Array10Parser(Scaling(offset=0, scale=1))
        return parser.parse([memoryview(head), memoryview(blob)], 0)

    return Target(read, (UndecodableMessage, ForeignMessage), seeds, 0.15)


def _ntndarray() -> Target:
    """Bytes become the update's fields: two bytes a side, codec, pixel type and the pixels."""
    import lz4.block
    import numpy as np

    from skyctl.errors import ForeignMessage, UndecodableMessage
    from skyctl.stream.sources.ntndarray import NtndArrayParser
    from skyctl.stream.sources.pixels import Scaling

    codecs = ("", "lz4", "lz4hdf5", "bslz4", "blosc", "zlib", "jpeg")
    plain = bytes(range(40))
    seeds = [bytes((0, 5, 0, 4, 0, 6)) + plain]
    for codec, packed in (
        (1, lz4.block.compress(plain, store_size=False)),
        *_packed(plain).items(),
    ):
        seeds.append(bytes((0, 5, 0, 4, codec, 6)) + packed)

    def read(content: bytes) -> object:
        head, pixels = content[:6].ljust(6, b"\0"), content[6:]
        kind = head[5] % 16
        dtype = {2: "i2", 6: "u2", 7: "u4", 9: "f4"}.get(kind, "u1")
        codec = codecs[head[4] % len(codecs)]
        whole = pixels[: len(pixels) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize]
        value = np.frombuffer(pixels if codec else whole, "u1" if codec else dtype)
        sides = (int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big"))
        update = {
            "uniqueId": 1,
            "value": value,
            "dimension": [{"size": side} for side in sides],
            "codec": {"name": codec, "parameters": kind},
        }
        return NtndArrayParser(Scaling(offset=0, scale=1)).parse(update, 0)

    return Target(read, (UndecodableMessage, ForeignMessage), seeds, 0.2)


def _packed(plain: bytes) -> dict[int, bytes]:
    """40 bytes as the codecs lz4hdf5 (2), blosc (4) and zlib (5) of _ntndarray write them."""
    import zlib

    from numcodecs.blosc import Blosc

    header = len(plain).to_bytes(8, "big") + len(plain).to_bytes(4, "big")
    stored = header + len(plain).to_bytes(4, "big") + plain
    return {2: stored, 4: bytes(Blosc().encode(plain)), 5: zlib.compress(plain)}


def _compressed() -> Target:
    """The first byte chooses the compression and the size of a number; the rest is the payload."""
    import lz4.block
    import numpy as np

    from skyctl.errors import UndecodableMessage
    from skyctl.stream.sources import compression

    compression.warm_up()
    size = 8192
    plain = np.arange(size // 2, dtype=np.uint16).tobytes()
    block = lz4.block.compress(plain, store_size=False)
    header = size.to_bytes(8, "big") + size.to_bytes(4, "big")
    framed = len(block).to_bytes(4, "big") + block
    seeds = [bytes((0,)) + block, bytes((1,)) + header + framed]
    seeds += [bytes((code,)) + framed for code in (2, 6, 10)]
    seeds += [bytes((code,)) + header + framed for code in (3, 7, 11)]

    def read(content: bytes) -> object:
        kind, payload = content[:1], memoryview(content)[1:]
        code = kind[0] if kind else 0
        element_bytes = (1, 2, 4, 3)[code // 4 % 4]
        if code % 4 == 0:
            return compression.lz4_block(payload, size)
        if code % 4 == 1:
            return compression.lz4_hdf5(payload, size)
        if code % 4 == 2:
            return compression.bitshuffle_lz4(payload, element_bytes, size)
        return compression.bitshuffle_lz4_hdf5(payload, element_bytes, size)

    return Target(read, (UndecodableMessage,), seeds, 0.25)


def _recording() -> Target:
    from skyctl.errors import RecordingError
    from skyctl.recording.reader import parse_header
    from skyctl.samples import hash_of
    from skyctl.waveform import Sampled

    sampled = Sampled(times_ps=(0.0, 1.0, 5.0), values=(0.0, 1.0, 0.5))
    pulse = {"amplitude_T": 0.1, "width_ps": 8, "spot": {"x": 1, "y": 2, "sigma": 3}}
    header = {"pulse": pulse, "movie": {"duration_ps": 165, "interval_ps": 5}, "shape": [3, 4, 5]}
    headers = (header, {**header, "pulse": None}, {**header, "may_end_early": True})
    seeds = [json.dumps(each).encode() for each in headers]
    wave = {"kind": "sampled", "sha256": hash_of(content := sampled.as_bytes())}
    waved = {"width_ps": sampled.width_ps, "waveform": wave}
    seeds.append(json.dumps({**header, "pulse": waved}).encode())
    parse = partial(parse_header, samples={wave["sha256"]: content}.__getitem__)
    return Target(parse, (RecordingError,), seeds, 0.15)


TARGETS: dict[str, Callable[[], Target]] = {
    "wire": _wire,
    "own": _own,
    "dectris": _dectris,
    "array10": _array10,
    "ntndarray": _ntndarray,
    "compressed": _compressed,
    "recording": _recording,
    "keys": _keys,
    "metrics": _metrics,
    "clock": _clock,
}


def _check(target: Target, content: bytes, outcomes: Counter[str]) -> None:
    try:
        target.read(content)
    except target.refusals as error:
        if isinstance(error.__cause__, MemoryError):
            raise RuntimeError(f"an input of {len(content)} bytes wanted more memory") from error
        outcomes["refused"] += 1
    else:
        outcomes["read"] += 1


def _run_hypothesis(target: Target, inputs: int, outcomes: Counter[str]) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    @settings(
        max_examples=inputs, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(target.seeds), st.randoms(use_true_random=True), st.binary(max_size=64))
    def fuzz(seed: bytes, chance: random.Random, noise: bytes) -> None:
        for _ in range(_EACH):
            _check(target, _mutated(seed, chance, noise), outcomes)

    fuzz()


_EACH = 20
"""Mutants of each example that hypothesis draws."""


def _mutated(seed: bytes, chance: random.Random, noise: bytes) -> bytes:
    content = bytearray(seed)
    kind = chance.randrange(6)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content)) if content else 0
        if len(content) > 400 and chance.random() < 0.8:  # the structure, rather than the image
            place = chance.choice((chance.randrange(200), len(content) - 1 - chance.randrange(200)))
        if kind == 0 and content:
            content[place] = chance.randrange(256)
        elif kind == 1 and content:
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del content[place : place + chance.randint(1, 8)]
        elif kind == 3:
            content[place:place] = noise[:8]
        elif kind == 4:
            content = content[:place]
        else:
            content = bytearray(noise)
    return bytes(content)


def _run_atheris(target: Target, inputs: int, outcomes: Counter[str]) -> None:
    import atheris

    corpus = tempfile.mkdtemp()
    for number, seed in enumerate(target.seeds):
        Path(corpus, str(number)).write_bytes(seed)
    options = [
        f"-runs={inputs}", f"-max_len={LONGEST_INPUT}", f"-timeout={LONGEST_S}",
        f"-malloc_limit_mb={LIMIT_BYTES // 2**20}", "-verbosity=0", "-print_final_stats=0", corpus,
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], lambda content: _check(target, content, outcomes))
    atheris.Fuzz()


def _child(name: str, engine: str, inputs: int, result: Path) -> None:
    """One parser, in this process; atheris leaves it without returning."""
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["skyctl"]):
            target = TARGETS[name]()
    else:
        target = TARGETS[name]()
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT_BYTES, now + LIMIT_BYTES))
    outcomes: Counter[str] = _Written(result)
    for seed in target.seeds:
        _check(target, seed, outcomes)
    if set(outcomes) != {"read"}:
        raise RuntimeError(f"{name}: a seed is refused")
    while outcomes.total() < inputs:
        left = inputs - outcomes.total()
        if engine == "atheris":
            _run_atheris(target, left, outcomes)
        faulthandler.dump_traceback_later(LONGEST_S + left / 100, exit=True)
        _run_hypothesis(target, max(1, left // _EACH), outcomes)
    faulthandler.cancel_dump_traceback_later()
    outcomes.write()


class _Written(Counter[str]):
    """Counts that are on disk every so often: a fuzzer may leave without a word."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._count = 0

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        self._count += 1
        if self._count % 1000 == 0:
            self.write()

    def write(self) -> None:
        """Put the counts on disk."""
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._file.write_text(json.dumps({**self, "peak_memory_MB": used / 1e3}))


def fuzz(name: str, inputs: int, engine: str) -> dict[str, Any]:
    """Run one parser's share in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result")
        begun = time.monotonic()
        command = [sys.executable, __file__, "--child", name, "--engine", engine]
        done = subprocess.run(
            [*command, "--inputs", str(inputs), "--json", str(result)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        counts = json.loads(result.read_text()) if result.exists() else {}
        return {
            "parser": name,
            "engine": engine,
            **counts,
            "inputs": counts.get("read", 0) + counts.get("refused", 0),
            "seconds": round(time.monotonic() - begun, 1),
            "failed": done.returncode != 0,
            "error": done.stderr[-2000:] if done.returncode else "",
        }


def main() -> int:
    """Run all parsers and print what came of it; status 1 when one failed."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--engine", choices=("atheris", "hypothesis"))
    options.add_argument("--only", choices=TARGETS)
    options.add_argument("--child", choices=TARGETS, help=argparse.SUPPRESS)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    has_atheris = importlib.util.find_spec("atheris") is not None
    engine = given.engine or ("atheris" if has_atheris else "hypothesis")
    if given.child:
        _child(given.child, engine, given.inputs, given.json)
        return 0
    names = [given.only] if given.only else list(TARGETS)
    whole = sum(TARGETS[name]().share for name in names)
    rows = []
    for name in names:
        share = TARGETS[name]().share / whole
        rows.append(fuzz(name, round(given.inputs * share), engine))
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201 - it is a program
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(row["failed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""Benchmark of the page in Chromium: what is painted, how old it is, and what a pause leaves.

Each frame of the source shows its number as 4 × 4 squares. Chromium's own screencast, a picture for
each that was painted, is read back: a number in a picture is a frame that reached the screen, and
the picture's time less the frame's is how old it was then. A page that does nothing but paint
numbers is measured beside it: no page paints more on this machine.
"""

import asyncio
import base64
import contextlib
import io
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from skyctl.bench.monitor_stand import BITS, PATIENCE_S, page_of, standing, wait
from skyctl.children import CHILDREN

_SECONDS = 12.0
_SUSPENDED_S = 5.0
_OLD_S = 1.0
_CASES = ((100, 100.0), (100, 1000.0), (512, 100.0), (512, 1000.0))
"""(side, frames a second that the source is asked for)"""

_PAINTER = """<body style="margin:0"><canvas id="film" width="384" height="384"></canvas>
<script>
const context = document.getElementById("film").getContext("2d");
let number = 0;
function paint() {
  number = (number + 1) % 65536;
  for (let bit = 0; bit < 16; bit++) {
    context.fillStyle = (number >> bit) & 1 ? "#67001f" : "#053061";
    context.fillRect(96 * (bit % 4), 384 - 96 * (1 + (bit >> 2)), 96, 96);
  }
  requestAnimationFrame(paint);
}
paint();
</script>"""


def painted(say: Callable[[str], None]) -> dict[str, Any]:
    """What Chromium paints of the page; says what is missing where there is none."""
    if not shutil.which("chromium"):
        return {"skipped": "no Chromium: make test-browser"}
    try:
        import playwright  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {"skipped": "no playwright: make test-browser"}
    say("a page that only paints")
    cases = []
    for side, rate in _CASES:
        say(f"the page at {side} × {side}, source at {rate:g} frames/s")
        cases.append(_case(side, rate))
    say("a browser that stands still")
    return {"empty_page_per_s": _empty_page(), "cases": cases, "suspended": _suspended()}


@dataclass
class _Screen:
    """What was painted: (UNIX time, JPEG) of each picture, and where the film is in it."""

    pictures: list[tuple[float, bytes]] = field(default_factory=list)
    box: tuple[float, float, float, float] = (0, 0, 1, 1)
    foreign: int = 0

    def numbers(self) -> list[tuple[float, int]]:
        """(UNIX time, number) of each picture, in order."""
        return [(at, _number(picture, self.box)) for at, picture in self.pictures]


def _number(jpeg: bytes, box: tuple[float, float, float, float]) -> int:
    """The number that the film shows in a picture of the page; box : (x, y, w, h), parts of 1."""
    from PIL import Image

    shown = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), float)
    rows, columns = shown.shape[:2]
    x, y, w, h = box
    number = 0
    for bit in range(BITS):
        across, up = (bit % 4 + 0.5) / 4, (bit // 4 + 0.5) / 4
        red, _, blue = shown[int((y + h * (1 - up)) * rows), int((x + w * across) * columns)]
        number |= int(red > blue) << bit
    return number


def _case(side: int, rate: float) -> dict[str, Any]:
    """Painted a second and how old, of a source that shows its numbers."""
    with standing(rate, side, pulsed=False) as stand, page_of(stand) as link:
        screen = _watched(link, _SECONDS)
    sent = stand.sent
    half = screen.numbers()[len(screen.pictures) // 2 :]
    ages, seen = [], set()
    for at, number in half:
        if number in seen or number >= len(sent):
            continue
        seen.add(number)
        ages.append(1e3 * (at - sent[number]))
    span = half[-1][0] - half[0][0]
    p50, p99 = np.percentile(ages, (50, 99))
    return {
        "side": side,
        "asked_per_s": rate,
        "sent_per_s": (len(sent) - 1) / (sent[-1] - sent[0]),
        "painted_per_s": len(seen) / span,
        "age_p50_ms": float(p50),
        "age_p99_ms": float(p99),
        "requests_elsewhere": screen.foreign,
    }


def _suspended() -> dict[str, Any]:
    """What is painted once a renderer that stood still goes on."""
    with standing(100.0, 100, pulsed=False) as stand, page_of(stand) as link:
        screen = _watched(link, _SECONDS, stand_still=True)
    woke = max(b for (a, _), (b, _) in zip(screen.pictures, screen.pictures[1:], strict=False)
               if b - a > 0.8 * _SUSPENDED_S)  # fmt: skip
    numbers = screen.numbers()
    before = {number for at, number in numbers if at < woke}
    after = [(at, number) for at, number in numbers if at >= woke and number not in before]
    old = {number for at, number in after if at - stand.sent[number] > _OLD_S}
    fresh = [at for at, number in after if at - stand.sent[number] <= _OLD_S]
    return {
        "suspended_s": _SUSPENDED_S,
        "old_frames_painted": len(old),
        "live_again_after_ms": 1e3 * (fresh[0] - woke),
    }


def _empty_page() -> float:
    """Numbers a second that a page paints which does nothing else."""
    screen = _watched("", _SECONDS / 2)
    numbers = screen.numbers()[len(screen.pictures) // 2 :]
    return len({number for _, number in numbers}) / (numbers[-1][0] - numbers[0][0])


def _watched(link: str, seconds: float, *, stand_still: bool = False) -> _Screen:
    """The screen of a browser in a process of its own; link : "" is the page that only paints."""
    told, begun = CHILDREN.Queue(), CHILDREN.Event()
    browser = CHILDREN.Process(target=_browse, args=(link, seconds, told, begun), daemon=True)
    browser.start()
    if stand_still:
        begun.wait(PATIENCE_S)
        wait(seconds / 4)
        renderers = _renderers(browser.pid)
        for process in renderers:
            os.kill(process, signal.SIGSTOP)
        wait(_SUSPENDED_S)
        for process in renderers:
            os.kill(process, signal.SIGCONT)
    screen = told.get(timeout=PATIENCE_S + 3 * seconds)
    browser.join(PATIENCE_S)
    return screen


def _renderers(parent: int | None) -> list[int]:
    children = psutil.Process(parent).children(recursive=True)
    return [child.pid for child in children if "--type=renderer" in " ".join(child.cmdline())]


def _browse(link: str, seconds: float, told: Any, begun: Any) -> None:
    told.put(asyncio.run(_screencast(link, seconds, begun)))


async def _screencast(link: str, seconds: float, begun: Any) -> _Screen:
    from playwright.async_api import (  # pyright: ignore[reportMissingImports]
        Error,
        async_playwright,
    )

    screen = _Screen()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("request", lambda request: _count_foreign(screen, request.url, link))
        if link:
            await page.goto(link)
            await page.wait_for_selector("#film-state.good", timeout=1e3 * PATIENCE_S)
        else:
            await page.set_content(_PAINTER)
        box = await page.locator("#film").bounding_box()
        if box:
            screen.box = (box["x"] / 1280, box["y"] / 800, box["width"] / 1280, box["height"] / 800)
        session = await page.context.new_cdp_session(page)

        async def took(event: dict[str, Any]) -> None:
            screen.pictures.append(
                (event["metadata"]["timestamp"], base64.b64decode(event["data"]))
            )
            with contextlib.suppress(Error):  # the browser is closed already
                await session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

        session.on("Page.screencastFrame", took)
        await session.send(
            "Page.startScreencast", {"format": "jpeg", "quality": 50, "maxWidth": 640}
        )
        begun.set()
        await asyncio.sleep(seconds)
        await session.send("Page.stopScreencast")
        await browser.close()
    return screen


def _count_foreign(screen: _Screen, url: str, link: str) -> None:
    ours = link.partition("/?")[0] or "about:"
    screen.foreign += not url.startswith(ours)

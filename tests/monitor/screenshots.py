"""Takes the pictures of the page in docs/figures: `make screenshots`."""

import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from bluesky import RunEngine
from playwright.sync_api import sync_playwright

from skyctl.beamline import simulated_beamline
from skyctl.monitor import Monitor, PageServer, People, RecordedView
from skyctl.plans import cycle
from skyctl.plans.mapping import map_process_diagram
from skyctl.plans.modes import Oversight

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CHROMIUM = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}


@contextmanager
def opened(link, size=WIDE):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**CHROMIUM)
        page = browser.new_page(viewport=size, device_scale_factor=1.25)
        page.goto(link)
        page.wait_for_selector("#connection.good")
        yield page
        browser.close()


def in_thread(plan, monitor):
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(monitor)
    thread = threading.Thread(target=engine, args=(plan,))
    thread.start()
    return thread


def slowed(line, hold_at):
    """Frames as slow as of a camera; the movie stands still at this frame of the fifth shot until
    it is let go."""
    send, count = line.publisher.frame, [0]
    there, go = threading.Event(), threading.Event()

    def frame(one):
        send(one)
        count[0] += one.index == 0 and one.movie_time_ps == 0
        time.sleep(0.03)
        if one.index == hold_at and len(line.pulser.guard.fired) == 5 and not there.is_set():
            there.set()
            go.wait(20)

    line.publisher.frame = frame
    return there, go


def a_cycle(folder):
    with (
        simulated_beamline(folder, ledger=folder / "ledger.jsonl") as line,
        Monitor(line, people=People({"Ada": "operator"})) as monitor,
    ):
        there, go = slowed(line, 9)
        oversight = Oversight("approve-each", monitor.desk)
        running = in_thread(cycle(line, cycles=2, oversight=oversight), monitor)
        with opened(monitor.url) as page:
            for shot in range(5):
                page.wait_for_selector("#ask:not([hidden])")
                page.wait_for_selector('#approve[aria-disabled="false"]')
                if shot == 4:
                    page.wait_for_timeout(1500)
                    page.screenshot(path=FIGURES / "monitor-ask.png")
                if shot == 3:
                    page.set_viewport_size(PHONE)
                    page.wait_for_timeout(400)
                    page.screenshot(path=FIGURES / "monitor-phone.png")
                    page.set_viewport_size(WIDE)
                page.click("#approve")
                page.wait_for_selector("#ask", state="hidden")
            there.wait(30)
            page.mouse.move(160, 190)
            page.wait_for_timeout(700)
            page.screenshot(path=FIGURES / "monitor.png")
            page.click("#stop")
            page.wait_for_selector("#stopped:not([hidden])")
            go.set()
            page.wait_for_timeout(600)
            page.screenshot(path=FIGURES / "monitor-stopped.png")
            running.join()
        return line.camera.recording


def a_map(folder):
    with (
        simulated_beamline(folder, start="skyrmion") as line,
        Monitor(line, people=People({"Ada": "operator"})) as monitor,
        opened(monitor.url) as page,
    ):
        running = in_thread(map_process_diagram(line, shots=30), monitor)
        while running.is_alive():
            page.wait_for_timeout(1000)
        page.screenshot(path=FIGURES / "monitor-map.png")


def a_recording(file):
    server = PageServer(RecordedView(file), People({"Ada": "viewer"}))
    server.start()
    with opened(next(iter(server.links.values()))) as page:
        page.click(".shot >> nth=1")
        page.wait_for_timeout(400)
        page.locator("#seek").fill("9")
        page.wait_for_timeout(400)
        page.screenshot(path=FIGURES / "monitor-recording.png")
    server.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        recording = a_cycle(Path(made))
        a_recording(recording)
        if "--no-map" not in sys.argv:
            a_map(Path(made) / "map")

"""The page in a real browser: what a person sees and does. `make test-browser` installs one."""

import contextlib
import http.server
import shutil
import threading

import pytest

from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.ledger_lines import Spent
from skyctl.devices.rare_pulses import RarePulses
from skyctl.monitor import Monitor, PageServer, People, RecordedView
from skyctl.plans import classify_shot, switch, write
from skyctl.plans.mapping import map_process_diagram
from skyctl.plans.modes import Oversight
from skyctl.pulse import Pulse

pytestmark = pytest.mark.browser

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
WEAK = Pulse(amplitude_T=2.0, width_ps=4.0)
MAY_APPROVE = '#approve[aria-disabled="false"]'


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: make test-browser"
    )
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: make test-browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a link in a browser of its own. No page may fail, or ask anybody but its server."""
    contexts, faults = [], []

    def opened(link, size=WIDE, before=""):
        address = link.partition("/?")[0]
        context = chromium.new_context(viewport=size)
        contexts.append(context)
        context.add_init_script(before)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith(address) or faults.append(request.url),
        )
        page.goto(link)
        page.wait_for_selector("#connection.good")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def approving(monitor, **more):
    return Oversight("approve-each", monitor.desk, **more)


def test_one_pulse_is_approved_and_the_next_denied(monitor, beamline, run, visit, tmp_path):
    beamline.camera.duration_ps.put(20.0)
    page = visit(monitor.url)
    assert "token" not in page.url
    ended = run(switch(beamline, shots=2, oversight=approving(monitor)))
    page.wait_for_selector(MAY_APPROVE)
    assert "T²ps" in page.text_content("#dose-text")
    assert not page.is_visible("#current-meter")  # no current may be fired here
    assert page.text_content("#guard") == "allowed"
    assert page.title().startswith("●")
    page.fill("#comment", "go")
    page.click("#approve")
    page.wait_for_selector(".shot")
    page.wait_for_selector(MAY_APPROVE)
    page.click("#deny")
    assert "not approved by Ada" in ended().reason
    page.wait_for_selector("#ask", state="hidden")
    assert page.text_content("#answered") == "Denied by Ada."
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 1


def test_what_is_left_of_the_current_has_a_meter(tmp_path, visit):
    envelope = Envelope(rare=RarePulses(budget_A2s_per_m4=4e14))
    spent = Spent(shots=2, dose_A2s_per_m4=1e14)
    with (
        simulated_beamline(tmp_path, envelope=envelope, spent=spent) as line,
        Monitor(line, people=People({"Ada": "operator"})) as monitor,
    ):
        page = visit(monitor.url)
        page.wait_for_selector("#current-meter", state="visible")
        assert page.text_content("#current-text") == "3.0e+14 of 4.0e+14 A²s/m⁴ left"


def test_it_can_all_be_done_with_the_keyboard(monitor, beamline, run, visit):
    page = visit(monitor.url)
    ended = run(write(beamline, oversight=approving(monitor)))
    page.wait_for_selector(MAY_APPROVE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stop"  # the first there is
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "film"
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#film-value").startswith("x 49, y 50: S_z −")
    for _ in range(9):
        if page.evaluate("document.activeElement.id") == "deny":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "not approved by Ada" in ended().reason
    page.focus("#film")
    page.keyboard.press("Shift+S")
    page.wait_for_selector("#stopped:not([hidden])")


def test_stop_in_the_movie_then_release_which_is_confirmed(
    monitor, beamline, run, visit, monkeypatch
):
    filming, stopped = threading.Event(), threading.Event()
    send = beamline.publisher.frame

    def held(frame):
        send(frame)
        if frame.index == 3:
            filming.set()
            assert stopped.wait(20)

    monkeypatch.setattr(beamline.publisher, "frame", held)
    monkeypatch.setattr("skyctl.plans.campaign.BETWEEN_LOOKS_S", 0.01)
    page = visit(monitor.url)
    ended = run(switch(beamline, shots=5))
    assert filming.wait(20)
    page.wait_for_selector("#film-state.good")
    page.click("#stop")
    page.wait_for_selector("#stopped:not([hidden])")
    assert monitor.controls.stopped.who == "Ada"
    stopped.set()
    assert "stopped by Ada" in ended().reason
    page.click("#stop")  # never disabled
    page.click("#release")
    page.wait_for_selector("#confirm[open]")
    page.keyboard.press("Enter")  # what has the focus keeps it stopped
    assert monitor.controls.stopped
    page.click("#release")
    page.click("#confirm-yes")
    page.wait_for_selector("#stopped", state="hidden")
    assert monitor.controls.stopped is None


def test_a_browser_whose_clock_is_wrong_answers_all_the_same(monitor, beamline, run, visit):
    page = visit(monitor.url, before="Date.now = () => 0; performance.timeOrigin = 1e15;")
    ended = run(write(beamline, oversight=approving(monitor)))
    page.wait_for_selector(MAY_APPROVE)
    page.click("#deny")
    assert "not approved by Ada" in ended().reason


def test_a_renderer_that_stood_still_may_not_answer_what_it_shows(monitor, beamline, run, visit):
    page = visit(monitor.url)
    ended = run(write(beamline, oversight=approving(monitor, timeout_s=8)))
    page.wait_for_selector(MAY_APPROVE)
    # States come no more: as from a server that hangs, or over a network that does.
    page.evaluate("WebSocket.prototype.send = () => 0")
    page.wait_for_selector("#connection.bad")
    assert page.text_content("#film-state").startswith("⚠ STALE")
    assert page.get_attribute("#approve", "aria-disabled") == "true"
    page.click("#approve", force=True)
    page.wait_for_selector("#answered:text('old')")
    page.click("#stop")  # needs no state
    for _ in range(100):
        if monitor.controls.stopped:
            break
        page.wait_for_timeout(50)
    assert monitor.controls.stopped.who == "Ada"
    assert "no answer within" in ended().reason


def test_an_answer_that_comes_late_is_said_to(monitor, beamline, run, visit):
    page, other = visit(monitor.links["Ada"]), visit(monitor.links["Eve"])
    ended = run(write(beamline, oversight=approving(monitor)))
    for each in (page, other):
        each.wait_for_selector(MAY_APPROVE)
    # Ada's page does not hear that Eve was faster.
    page.route("**/api/answer", lambda route: (other.click("#deny"), route.continue_()))
    page.click("#approve")
    page.wait_for_selector("#answered:text('too late')")
    assert "not approved by Eve" in ended().reason
    assert beamline.pulser.guard.spent.shots == 0


def test_a_viewer_sees_and_stops_and_does_nothing_else(monitor, beamline, run, visit):
    page = visit(monitor.links["Grace"])
    ended = run(write(beamline, oversight=approving(monitor, timeout_s=4)))
    page.wait_for_selector("#ask:not([hidden])")
    page.wait_for_timeout(800)
    assert page.get_attribute("#approve", "aria-disabled") == "true"
    page.click("#approve", force=True)
    page.wait_for_selector("#answered:text('only an operator')")
    shot, stamp = monitor.desk.pending.shot, monitor.state()["stamp"]
    said = {"shot": shot, "approved": True, "comment": "", "stamp": stamp}
    status = page.evaluate(
        """async (said) => (await fetch("/api/answer", {method: "POST",
        headers: {"content-type": "application/json"}, body: JSON.stringify(said)})).status""",
        said,
    )
    assert status == 403
    page.click("#stop")
    page.wait_for_selector("#stopped-by:text('by Grace')")
    page.click("#release", force=True)
    page.click("#confirm-yes")
    page.wait_for_selector("#notice:text('only an operator')")
    assert ended().pulses == 0


@contextlib.contextmanager
def foreign_page(script):
    """Another program's page on this machine: same site, to a cookie, and another origin."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<title>-</title><script>{script}</script>".encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_foreign_page_can_neither_listen_nor_stop(monitor, visit):
    page = visit(monitor.url)
    address = monitor.url.partition("/?")[0]
    script = f"""
    const ours = new WebSocket("{address.replace("http", "ws")}/ws");
    ours.onopen = () => document.title = "open";
    ours.onclose = async () => {{
      for (const headers of [{{}}, {{"content-type": "application/json"}}])
        await fetch("{address}/api/stop", {{method: "POST", credentials: "include", body: "{{}}",
          headers}}).catch(() => 0);
      document.title = document.title === "open" ? "open" : "shut";
    }};"""
    with foreign_page(script) as other:
        tab = page.context.new_page()
        tab.goto(other)
        for _ in range(100):
            if tab.title() != "-":
                break
            tab.wait_for_timeout(50)
        assert tab.title() == "shut"
    assert monitor.controls.stopped is None


def test_the_map_fills(monitor, beamline, run, visit):
    page = visit(monitor.url)
    ended = run(map_process_diagram(beamline, widths_ps=(3.0, 4.0), rows=(1.0, 1.5), shots=3))
    page.wait_for_selector("#map-panel:not([hidden])", timeout=60_000)
    assert ended().shots == 3
    page.wait_for_selector("#map-text:text('3 shots')")
    assert page.get_attribute("#map", "aria-label").endswith("BB BB")


def test_on_a_phone_stop_is_always_there_and_nothing_is_cut_off(monitor, beamline, run, visit):
    page = visit(monitor.url, PHONE)
    ended = run(write(beamline, oversight=approving(monitor)))
    page.wait_for_selector(MAY_APPROVE)
    for place in (0, 600, 10_000):
        page.mouse.wheel(0, place)
        page.wait_for_timeout(100)
        box = page.locator("#stop").bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]
        assert box["height"] >= 60
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click("#approve")
    assert ended().reached
    page.click("#stop")
    page.wait_for_selector("#stopped:not([hidden])")


def test_everything_fits_a_laptop(monitor, beamline, run, visit):
    page = visit(monitor.url)
    run(classify_shot(beamline, WEAK))()
    ended = run(switch(beamline, oversight=approving(monitor)))
    page.wait_for_selector(MAY_APPROVE)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDE["width"]
    assert page.evaluate("document.documentElement.scrollHeight") <= WIDE["height"]
    page.click("#deny")
    ended()


def test_a_shot_is_played_again_and_the_live_film_comes_back(monitor, beamline, run, visit):
    page = visit(monitor.url)
    run(classify_shot(beamline, WEAK))()
    page.click(".shot")
    page.wait_for_selector("#film-state.play:text('REPLAY of shot 1')")
    page.locator("#seek").fill("2")
    assert page.text_content("#film-where").startswith("10 ps")
    page.keyboard.press("Escape")
    page.wait_for_selector("#film-state.play", state="detached")
    assert page.is_hidden("#seek")


def test_a_recording_says_replay_and_has_nothing_to_act_on(beamline, monitor, run, visit):
    run(classify_shot(beamline, WEAK))()
    server = PageServer(RecordedView(beamline.camera.recording), People({"Ada": "operator"}))
    server.start()
    try:
        page = visit(server.links["Ada"])
        page.wait_for_selector("#kind:text('REPLAY')")
        page.wait_for_selector("#film-state.play")
        for button in ("#stop", "#approve", "#deny", "#release"):
            assert page.is_hidden(button)
        assert page.text_content("#verdict-label") != "no pulse yet"
    finally:
        server.close()


def test_a_page_whose_server_goes_says_so_and_keeps_what_it_shows(beamline, run, visit):
    with Monitor(beamline, people=People({"Ada": "operator"})) as monitor:
        page = visit(monitor.url)
        page.wait_for_selector("#run:text('no run yet')")
    page.wait_for_selector("#notice:text('closed')")
    assert page.text_content("#connection") == "ended"

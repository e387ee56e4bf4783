"""App: what the server answers, and to whom."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from skyctl.monitor.controls import Controls, Refused
from skyctl.monitor.film import MOST_FRAMES
from skyctl.monitor.newest import Newest
from skyctl.monitor.people import People, Person
from skyctl.monitor.view import View

MOST_A_SECOND = 30
"""Frames a second that a page is sent."""
_LARGEST_POST = 4096
_LARGEST_SIDE = 512
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_NOT_SIGNED_IN = (
    "Not signed in. Paste the link that skyctl printed when it began to serve this page; it has a "
    "token. A cookie from before is of another run.\n"
)


@dataclass
class Site:
    """What the answers are made of.

    cookie : its name has the port, as cookies do not keep ports apart
    names : hosts that browsers may call this machine; refresh : has the state told anew
    watching : how many pages are connected
    """

    view: View
    people: People
    states: Newest[str]
    cookie: str
    names: frozenset[str]
    secure: bool
    files: dict[str, bytes]
    refresh: Callable[[], None]
    watching: int = 0


def page_app(site: Site) -> ASGIApp:
    """The app of a site."""
    answers = _Answers(site)
    routes = [
        Route("/", answers.index),
        Route("/page/{name}", answers.file),
        Route("/film/{shot}", answers.film),
        Route("/shot/{shot}", answers.curve),
        Route("/api/stop", answers.stop, methods=["POST"]),
        Route("/api/release", answers.release, methods=["POST"]),
        Route("/api/answer", answers.answer, methods=["POST"]),
        WebSocketRoute("/ws", answers.socket),
    ]
    return _Guarded(Starlette(routes=routes), site.names)


class _Guarded:
    """Lets through what is asked under a name of ours, and sends the headers that keep others out.

    A page of somebody else whose name is made to point here (DNS rebinding) says its own name.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _host_name(HTTPConnection(scope).headers.get("host", ""))
        if host not in self._names:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await Response("Not served under this name.\n", 421)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def _host_name(host: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{host}").hostname or ""
    return ""


class _Answers:
    """One answer a route."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def _person(self, connection: HTTPConnection) -> Person | None:
        return self._site.people.who(connection.cookies.get(self._site.cookie, ""))

    def _is_ours(self, connection: HTTPConnection) -> bool:
        """Whether the page that asks is this server's: browsers say so, and always of a POST."""
        ours = f"{'https' if self._site.secure else 'http'}://{connection.headers['host']}"
        return connection.headers.get("origin") == ours

    async def index(self, request: Request) -> Response:
        """The page; with a token, a cookie first, so that the address bar has none."""
        token = request.query_params.get("token")
        if token and self._site.people.who(token):
            response: Response = RedirectResponse("/", 303)
            response.set_cookie(
                self._site.cookie, token, httponly=True, samesite="strict",
                secure=self._site.secure, max_age=30 * 86400,
            )  # fmt: skip
            return response
        if self._person(request) is None:
            return Response(_NOT_SIGNED_IN, 401, media_type="text/plain")
        return _file(self._site.files["index.html"], "html")

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"]
        if self._person(request) is None:
            return Response(_NOT_SIGNED_IN, 401, media_type="text/plain")
        if name not in self._site.files:
            return Response("No such file.\n", 404)
        return _file(self._site.files[name], name.rpartition(".")[2])

    async def film(self, request: Request) -> Response:
        """Frames of a shot, one after the other, each as `Picture.packed` has it."""
        if self._person(request) is None:
            return Response(_NOT_SIGNED_IN, 401, media_type="text/plain")
        frames = _number(request, "frames", MOST_FRAMES)
        side = _number(request, "side", _LARGEST_SIDE)
        shot = request.path_params["shot"]
        packed = await run_in_threadpool(self._site.view.movie, shot, frames, side)
        if packed is None:
            return Response("No such movie is kept.\n", 404)
        return Response(packed, media_type="application/octet-stream")

    async def curve(self, request: Request) -> Response:
        """Verdicts of a shot."""
        if self._person(request) is None:
            return Response(_NOT_SIGNED_IN, 401, media_type="text/plain")
        curve = await run_in_threadpool(self._site.view.curve, request.path_params["shot"])
        return JSONResponse(curve) if curve else Response("No verdicts are kept.\n", 404)

    async def stop(self, request: Request) -> Response:
        """Stop: any person, at once, whatever the request says besides."""

        async def act(controls: Controls, person: Person) -> None:
            stopped = controls.stop(person)
            await run_in_threadpool(controls.note_stop, stopped)

        return await self._act(request, act)

    async def release(self, request: Request) -> Response:
        """Release the stop of this number."""

        async def act(controls: Controls, person: Person) -> None:
            said = await _json(request)
            number, seen = _said(said, "stop", int), _said(said, "stamp", float)
            await run_in_threadpool(controls.release, person, number, seen)

        return await self._act(request, act)

    async def answer(self, request: Request) -> Response:
        """Approve or deny the shot of this name."""

        async def act(controls: Controls, person: Person) -> None:
            said = await _json(request)
            shot, comment = _said(said, "shot", str), _said(said, "comment", str)
            approved, seen = _said(said, "approved", bool), _said(said, "stamp", float)
            await run_in_threadpool(
                controls.answer, person, shot, approved=approved, comment=comment, seen_s=seen
            )

        return await self._act(request, act)

    async def _act(
        self, request: Request, act: Callable[[Controls, Person], Awaitable[None]]
    ) -> Response:
        try:
            person = self._person(request)
            if person is None:
                raise Refused(401, "not signed in")
            if not self._is_ours(request):
                raise Refused(403, "asked by another page than this server's")
            if request.headers.get("content-type", "").partition(";")[0] != "application/json":
                raise Refused(415, "say it in JSON")
            controls = self._site.view.controls
            if controls is None:
                raise Refused(409, "a recording is shown: there is nothing to act on")
            await act(controls, person)
        except Refused as refused:
            return JSONResponse({"done": False, "why": str(refused)}, refused.status)
        finally:
            self._site.refresh()
        return JSONResponse({"done": True, "why": ""})

    async def socket(self, websocket: WebSocket) -> None:
        """States and frames, one at a time, until the page is gone or all is over."""
        person = self._person(websocket)
        if person is None or not self._is_ours(websocket):
            await websocket.close(1008)  # before it is accepted: HTTP's 403
            return
        await websocket.accept()
        self._site.watching += 1
        try:
            await _Page(websocket, self._site, person).show()
        finally:
            self._site.watching -= 1


class _Page:
    """One page that looks."""

    def __init__(self, websocket: WebSocket, site: Site, person: Person) -> None:
        self._websocket, self._site, self._person = websocket, site, person
        self._drawn = {"frame": asyncio.Event(), "state": asyncio.Event()}
        for drawn in self._drawn.values():
            drawn.set()

    async def show(self) -> None:
        """Until one of the three ends: the page is gone, or it is over."""
        you = {"name": self._person.name, "role": self._person.role}
        await self._websocket.send_text(json.dumps({"you": you}))
        self._site.refresh()
        tasks = [asyncio.create_task(part()) for part in (self._listen, self._states, self._frames)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                drawn = self._drawn.get(message.get("text") or "")
                if drawn is None:
                    await self._websocket.close(1008)
                    return
                drawn.set()

    async def _states(self) -> None:
        number = 0
        while True:
            await self._drawn["state"].wait()
            self._drawn["state"].clear()
            state, number = await self._site.states.after(number)
            await self._websocket.send_text(state)

    async def _frames(self) -> None:
        number, every_s, due = 0, 1 / MOST_A_SECOND, 0.0
        while True:
            await self._drawn["frame"].wait()
            self._drawn["frame"].clear()
            frame, number = await self._site.view.newest.after(number)
            await self._websocket.send_bytes(frame.packed())
            now = time.monotonic()
            due = max(due + every_s, now)  # a frame that was waited for delays not the next as well
            await asyncio.sleep(due - now)


def _file(content: bytes, ending: str) -> Response:
    return Response(content, media_type=_TYPES.get(ending, "application/octet-stream"))


def _number(request: Request, name: str, most: int) -> int:
    text = request.query_params.get(name, str(most))
    return min(max(1, int(text)), most) if text.isascii() and text.isdigit() else most


async def _json(request: Request) -> dict[str, Any]:
    """The object that a request says. Raises Refused."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_POST:
            raise Refused(413, "too long")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Refused(400, "say it in a JSON object")
    return said


def _said(said: dict[str, Any], name: str, kind: type) -> Any:
    """A value of exactly this type. Raises Refused."""
    value = said.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise Refused(400, f"{name}: give a {kind.__name__}")
    return value

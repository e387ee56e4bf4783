"""`skyctl bench monitor`: the live page."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, extra, show_rows, write_json

Minutes = Annotated[float, typer.Option(help="How long memory is watched.", min=0.1)]

Browser = Annotated[bool, typer.Option(help="Also what Chromium paints, where there is one.")]


def bench_monitor(
    minutes: Minutes = 1.0, browser: Browser = True, json_file: JsonFile = None
) -> None:
    """What the live page costs and how fast it is: the classifier's latency with two viewers over
    that without, from STOP to disarmed, a viewer beside ten that stand still, memory; and what
    Chromium paints, how old, beside a page that does nothing else. Four minutes.

    Viewers, source and browser are processes of their own; what is compared takes turns.
    """
    with extra("bench"):
        from skyctl.bench.monitor import monitor_speed

    with explained():
        with console.status("") as status:
            result = monitor_speed(minutes, browser, status.update)
        classifier = result["classifier"]
        show_rows([{"page": what, **classifier[what]} for what in ("none", "served", "two")])
        show_rows([{"two viewers over": "a page nobody looks at", **classifier["two_over_served"]}])
        show_rows([result["stop"]])
        show_rows([result["viewers"]])
        if cases := result.get("browser", {}).get("cases"):
            show_rows(cases)
            show_rows([result["browser"]["suspended"]])
        elif browser:
            console.print(result["browser"]["skipped"])
        show_rows(result["memory"]["rows"])
        write_json(json_file, result)

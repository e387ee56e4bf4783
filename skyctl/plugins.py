"""What other packages bring, by name: agents, sources, drivers and models, as entry points.

A package offers one in its pyproject.toml:

    [project.entry-points."skyctl.agents"]
    steps = "my_package.agent:StepsSeeker"

Nothing of a package is imported until its name is asked for: one that is broken stops nobody else.
`skyctl doctor` tries them all. What each kind is called with: `docs/plugins.md`.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from skyctl.errors import SkyctlError

Kind = Literal["agents", "sources", "drivers", "models"]
KINDS: tuple[Kind, ...] = ("agents", "sources", "drivers", "models")


class PluginError(SkyctlError):
    """What another package should bring is not there, is there twice, or cannot be loaded."""


def offered(kind: Kind) -> dict[str, list[EntryPoint]]:
    """All that installed packages offer of a kind, by name; more than one where they clash."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"skyctl.{kind}"):
        found.setdefault(point.name, []).append(point)
    return found


def missing(kind: Kind, name: str, own: tuple[str, ...] = ()) -> str:
    """What to say where nobody offers a name; ``own`` : names that skyctl itself has."""
    there = ", ".join([*own, *sorted(offered(kind))]) or "none"
    return (
        f"{kind[:-1]} {name!r}: no installed package offers it (there are: {there}). Install the "
        f"package that does, or see whether its entry point is in 'skyctl.{kind}'."
    )


def load(kind: Kind, name: str, own: tuple[str, ...] = ()) -> Callable[..., Any]:
    """What a package offers under a name: a class or a function, to be called.

    own : names that skyctl itself has for this kind, for the message

    Raises PluginError, which names the package; so does what is returned, where it fails.
    """
    points = offered(kind).get(name, [])
    if not points:
        raise PluginError(missing(kind, name, own))
    if len(points) > 1:
        packages = " and ".join(sorted(map(_package, points)))
        raise PluginError(
            f"{kind[:-1]} {name!r}: {packages} both offer it, and only a person can tell which is "
            "meant. Uninstall one."
        )
    try:
        loaded = points[0].load()
    except Exception as error:  # whatever another's module raises
        raise PluginError(
            f"{kind[:-1]} {name!r} of {_package(points[0])}: cannot be loaded from "
            f"{points[0].value} ({type(error).__name__}: {error}). Mend or uninstall that package."
        ) from error
    if not callable(loaded):
        raise PluginError(
            f"{kind[:-1]} {name!r} of {_package(points[0])}: {points[0].value} is neither a class "
            "nor a function."
        )
    return partial(_made, f"{kind[:-1]} {name!r} of {_package(points[0])}", loaded)


def _made(which: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """What a plug-in makes of these arguments; its failure, named."""
    try:
        return make(*arguments)
    except SkyctlError:
        raise
    except Exception as error:
        raise PluginError(f"{which}: failed ({type(error).__name__}: {error}).") from error


def tried() -> dict[str, str]:
    """Of all that is offered, as "agent 'steps'", why it cannot be loaded, or "" """
    outcome: dict[str, str] = {}
    for kind in KINDS:
        for name in sorted(offered(kind)):
            try:
                load(kind, name)
            except PluginError as error:
                outcome[f"{kind[:-1]} {name!r}"] = str(error)
            else:
                outcome[f"{kind[:-1]} {name!r}"] = ""
    return outcome


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "a package without a name"

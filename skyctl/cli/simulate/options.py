"""Options of the films that are pulsed: the pulse, the movie, the camera; and what they say."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from skyctl.pulse import Pulse, Spot
    from skyctl.simulators.instrument.imaging import Imaging

Width = Annotated[float, typer.Option(help="Pulse width t_w, ps.")]

Amplitude = Annotated[float, typer.Option(help="Peak field, T.")]

Phi = Annotated[float, typer.Option(help="Azimuth of the pulse, degrees.")]

Peak = Annotated[float, typer.Option(help="Time of the pulse's peak, ps.")]

LocalSpot = Annotated[
    str | None,
    typer.Option(
        help="Local pulse: X,Y,SIGMA in sites, with ,stripe:ANGLE or ,ring:RADIUS after it for a "
        "line or a circle; left out: whole film."
    ),
]

Size = Annotated[int, typer.Option(help="Sites along an edge.")]

Temperature = Annotated[float, typer.Option(help="Temperature of the film, K.")]

Start = Annotated[Literal["skyrmion", "empty"], typer.Option(help="What the film holds before.")]

Noise = Annotated[float, typer.Option(help="Camera: readout noise, units of S_z (--png shows it).")]

Photons = Annotated[
    float, typer.Option(help="Camera: counts of a pixel at S_z = +1; 0: no photon noise.")
]

Blur = Annotated[float, typer.Option(help="Camera: point spread, sigma in sites.")]

Pixels = Annotated[
    str | None, typer.Option(help="Camera: ROWSxCOLUMNS; left out: one pixel a site.")
]

Drift = Annotated[
    str | None, typer.Option(help="Camera: motion of the image, X,Y in sites per ps.")
]


def pulse_of(
    amplitude: float,
    width: float,
    theta: float,
    phi: float,
    peak: float,
    spot: str | None,
    sides: tuple[int, int],
) -> "Pulse":
    """The pulse that the options ask for, at a film of so many rows and columns.

    Raises ValueError for one that cannot be, or a spot that is off the film.
    """
    from skyctl.pulse import Pulse

    return Pulse(
        amplitude_T=amplitude,
        width_ps=width,
        theta_deg=theta,
        phi_deg=phi,
        peak_ps=peak,
        spot=_spot(spot, *sides),
    )


def _spot(text: str | None, rows: int, columns: int) -> "Spot | None":
    """Read "X,Y,SIGMA"; the centre must be on the film."""
    from skyctl.pulse import Spot

    if not text:
        return None
    *parts, last = text.split(",")
    shape = None
    if ":" in last:
        kind, _, size = last.partition(":")
        name = {"stripe": "angle_deg", "ring": "radius"}.get(kind, kind)
        shape = {"kind": kind, name: size}
    else:
        parts.append(last)
    if len(parts) != 3:
        raise ValueError(f"--spot {text}: give X,Y,SIGMA, three numbers in sites")
    x, y, sigma = (float(part) for part in parts)
    place = Spot.model_validate({"x": x, "y": y, "sigma": sigma, "shape": shape})
    if not (0 <= x < columns and 0 <= y < rows):
        raise ValueError(
            f"--spot {text}: its centre is off the film of {columns} columns and {rows} rows"
        )
    return place


def camera_of(
    noise: float,
    photons: float,
    blur: float,
    pixels: str | None,
    drift: str | None,
    seed: int,
) -> "Imaging":
    """The camera that the options ask for. Raises ValueError for one that cannot be."""
    from skyctl.simulators.instrument.imaging import Imaging

    return Imaging(
        gaussian_noise=noise,
        photons=photons,
        blur_sites=blur,
        pixels=_pixels(pixels),
        drift_sites_per_ps=_drift(drift),
        seed=seed,
    )


def _pixels(text: str | None) -> tuple[int, int] | None:
    """Read "ROWSxCOLUMNS"."""
    if text is None:
        return None
    try:
        rows, columns = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--pixels {text}: give ROWSxCOLUMNS, two whole numbers") from None
    return rows, columns


def _drift(text: str | None) -> tuple[float, float]:
    """Read "X,Y"."""
    if text is None:
        return 0.0, 0.0
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--drift {text}: give X,Y, two numbers in sites per ps") from None
    return x, y

"""Verdict: what the network says of a movie. FilmState: what the camera sees of the film."""

import math
from dataclasses import dataclass, field

from skyctl.belief import Belief
from skyctl.frame import Counts, Frame
from skyctl.process import Kind

UNSURE = "unsure"
"""The label of a movie whose process the network does not name."""


@dataclass(frozen=True)
class Verdict:
    """Class probabilities at one frame of a movie.

    label : the class that the model's rules name, None when it abstains
    early : it may be acted on before the movie is over (``Rules.early``)
    novelty : of the most foreign frame so far; above the model's limit it abstains
    transitions : (skyctl.process.TRANSITIONS,) probabilities of what the film was and became,
        counted from ``background``, +1 or -1, of the movie's first frame
    outside : why the movie is none that the model is valid for, or ""; then it abstains
    received_ns, decided_ns : monotonic clock, of the frame and of this verdict
    run : that the shot is of, as its movie says; another run may name a shot the same
    off_states : how far the film at rest is from any state of this sample; above 1 it is none. 0
        where nobody asked (``inference.state_check``)
    """

    shot: str
    index: int
    movie_time_ps: float
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    label: str | None
    received_ns: int = 0
    decided_ns: int = 0
    early: bool = False
    novelty: float = -math.inf
    transitions: tuple[float, ...] = ()
    background: int = 0
    outside: str = ""
    run: str = ""
    off_states: float = 0.0

    @property
    def latency_ms(self) -> float:
        """Receive-to-verdict latency, ms."""
        return (self.decided_ns - self.received_ns) / 1e6


@dataclass(frozen=True)
class FilmState:
    """What an S_z camera sees of a settled film.

    background : +1 or -1, where most of the film points
    discs : reversed round islands inside the film, each a skyrmion to this camera
    domains : reversed regions that are no disc: they touch an edge, or have a hole
    reversed_sites : how many sites point against the background
    likelihood : probability of the image under each of `skyctl.process.KINDS`, in this background,
        up to a common factor: normalised to 1, so that it is P(state | image) where all were
        equally likely before. () where nobody gave one
    background_probability : that the background is the one said
    places : (x, y, area) of each disc, in sites and sites², from the centre of the first site
    noise : of a pixel, standard deviation in units of S_z
    """

    background: int
    discs: int
    domains: int
    reversed_sites: int
    likelihood: tuple[float, ...] = ()
    background_probability: float = 1.0
    places: tuple[tuple[float, float, float], ...] = ()
    noise: float = 0.0

    @property
    def is_empty(self) -> bool:
        """Nothing points against the background."""
        return self.discs == 0 and self.domains == 0

    @property
    def has_one_skyrmion(self) -> bool:
        """Exactly one disc and nothing else."""
        return self.discs == 1 and self.domains == 0

    @property
    def kind(self) -> Kind:
        """Which of `skyctl.process.KINDS` it is."""
        return "empty" if self.is_empty else "one" if self.has_one_skyrmion else "other"

    def __str__(self) -> str:
        sign = "+" if self.background > 0 else "-"
        what = f"{self.discs} disc{'s' * (self.discs != 1)}"
        if self.domains:
            what += f", {self.domains} domain{'s' * (self.domains != 1)}"
        return f"{what} in {sign}z"


SEEN = ("background", "discs", "domains", "reversed_sites")
"""What is written down of a film that was seen."""
_NOTHING_SEEN = (0, -1, -1, -1)


@dataclass(frozen=True)
class ShotResult:
    """All that is known of a shot when its movie is over.

    verdict : at the last frame; None for a look, or when no frame could be classified
    state : of the film on the last frame; None when no good frame came
    problem : why the movie must not be acted on ("" when it may): lost frames, a bad frame
    latencies_ms : receive-to-verdict latency of each frame
    seen_ns : monotonic clock, when the last frame left its source; 0 where that is not known
    mean_sz : (movie time in ps, mean S_z of the film) of each good frame
    mean_spins : (movie time in ps, the film's mean of each component) of each good frame of a
        camera that shows all three; () of another
    kept : the frames of the movie times that somebody asked for (``kept_times_ps`` of the streaming
        classifier)
    belief : about the film and the network, from all movies of the run to this one
    ended_early : the verdict was certain before the movie was over, and ended it
    unreadable : why the last frame, though it came whole, shows nothing of the film, or ""
    frames_read : up to the one that the result is from
    run : that the shot is of, as its movie says
    off_states : as the verdict's
    """

    shot: str
    verdict: Verdict | None
    state: FilmState | None
    counts: Counts
    problem: str
    latencies_ms: tuple[float, ...]
    seen_ns: int = 0
    mean_sz: tuple[tuple[float, float], ...] = ()
    mean_spins: tuple[tuple[float, float, float, float], ...] = ()
    kept: tuple[Frame, ...] = field(default=(), compare=False, repr=False)
    belief: Belief = field(default_factory=Belief)
    ended_early: bool = False
    unreadable: str = ""
    frames_read: int = 0
    run: str = ""
    off_states: float = 0.0

    @property
    def label(self) -> str:
        """The class, or UNSURE when the network abstained, or "" without a verdict."""
        if self.verdict is None:
            return ""
        return self.verdict.label or UNSURE

    @property
    def seen(self) -> dict[str, int]:
        """What was SEEN of the film, by name; 0 and -1 where nothing was."""
        if self.state is None:
            return dict(zip(SEEN, _NOTHING_SEEN, strict=True))
        return {name: getattr(self.state, name) for name in SEEN}

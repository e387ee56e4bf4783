"""Belief: how likely each state of the film is, from all verdicts and looks so far.

The film is a hidden state: empty, one skyrmion, or anything else, with its background up or down. A
shot's verdict moves the belief, a look sharpens it. Beside the film a second thing is hidden:
whether the network is *sound*, that is as good as its card says on the samples under this camera.
Both are one Bayes filter, so that a network earns trust by agreeing with looks and with itself (the
film a movie begins with is the one the movie before left), and loses it by contradicting them.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skyctl.process import KINDS, TRANSITIONS, Kind

STATES: tuple[tuple[Kind, int], ...] = tuple((kind, sign) for kind in KINDS for sign in (-1, 1))
"""(kind, background) of each state."""
SURE = 0.99
"""From this probability on a state is acted on without another look."""
UNTRUSTED = 0.98
"""From this probability on that the network is not sound, fire is held."""
_LUCK = 0.25
"""How often a network that is not sound is right all the same."""
_NEVER_SEEN = 0.5
"""That a network is not sound, before any of its verdicts was held against a look."""
_ABSTAINS_UNSOUND = 0.5
_EXPECTED = 0.9
"""A state this likely, should the network be sound, is what the next look is expected to show."""
HARMLESS_T2PS = 2.0
"""∫B² dt up to which a pulse leaves a film as it is (0.3 T for 10 ps did, at 80 of 80 films)."""
_CHANGES = 0.005
"""That a film is no longer what it was, from one movie to the next, whatever the reason."""


_KEPT = np.zeros((len(KINDS), len(KINDS), 2))
_KEPT[range(len(KINDS)), range(len(KINDS)), 0] = 1.0


@dataclass(frozen=True)
class Reliability:
    """How far a classifier can be trusted, as its card has it; measured on calibration movies.

    wrong : share of its sure verdicts that are wrong; abstains : share of movies it does not name
    base : (TRANSITIONS,) how often each transition was among what it learned from
    """

    wrong: float = 0.02
    abstains: float = 0.1
    base: tuple[float, ...] = (1 / TRANSITIONS,) * TRANSITIONS

    def __post_init__(self) -> None:
        shares = (self.wrong, self.abstains, *self.base)
        if len(self.base) != TRANSITIONS or not all(0 < share < 1 for share in shares):
            raise ValueError(f"reliability {self}: {TRANSITIONS} + 2 shares between 0 and 1")

    @property
    def starts(self) -> np.ndarray:
        """(kinds,) share of each start."""
        return self._base.sum(axis=(1, 2))

    @property
    def _base(self) -> np.ndarray:
        base = np.array(self.base).reshape(len(KINDS), len(KINDS), 2)
        return base / base.sum()


class Told(NamedTuple):
    """What spoke for the network and against it, counted.

    agreed, contradicted : looks that bore out what was believed, and looks that contradicted it
    itself : movies that began with another film than the network had said the last one left
    unnamed : movies that it did not name
    """

    agreed: int = 0
    contradicted: int = 0
    itself: int = 0
    unnamed: int = 0


@dataclass(frozen=True, eq=False)
class Belief:
    """Probabilities of the film's states, and of the network being sound; immutable.

    film : (2, states) joint probabilities, for a network that is sound and for one that is not
    told : what spoke for the network so far, and against it
    """

    film: np.ndarray = field(default_factory=lambda: _unknown(_NEVER_SEEN))
    told: Told = field(default_factory=Told)

    @classmethod
    def unknown(cls, unsound: float = _NEVER_SEEN, told: Told | None = None) -> "Belief":
        """Of a film that nobody has seen. ``unsound`` : what was learned of the network before."""
        return cls(_unknown(unsound), told or Told())

    @classmethod
    def certain(cls, kind: Kind, background: int) -> "Belief":
        """Of a film that is known, and a network that is sound: for tests and baselines."""
        film = np.zeros((2, len(STATES)))
        film[0, STATES.index((kind, background))] = 1.0
        return cls(film)

    @property
    def unsound(self) -> float:
        """Probability that the network is not what its card says."""
        return float(self.film[1].sum())

    @property
    def states(self) -> np.ndarray:
        """(states,) probabilities of the film's states."""
        return self.film.sum(axis=0)

    def probability(self, kind: Kind, background: int | None = None) -> float:
        """That the film is of this kind, with this background where one is given."""
        return float(
            sum(
                p
                for p, (k, sign) in zip(self.states, STATES, strict=True)
                if k == kind and background in (None, sign)
            )
        )

    @property
    def likeliest(self) -> tuple[Kind, int]:
        """The likeliest (kind, background)."""
        return STATES[int(self.states.argmax())]

    @property
    def kind(self) -> Kind:
        """Of the likeliest state."""
        return self.likeliest[0]

    @property
    def background(self) -> int:
        """Where most of the film points, +1 or -1; the likelier."""
        signs = np.array([sign for _, sign in STATES])
        return 1 if float(self.states @ signs) > 0 else -1

    @property
    def is_sure(self) -> bool:
        """Whether one state is likely enough to be acted on."""
        return bool(self.states.max() >= SURE)

    def forget_film(self) -> "Belief":
        """As before a run: the film is unknown, what was learned of the network stays.

        A belief that knows nothing of the film comes back as it is, to the last bit: a replay
        starts from it.
        """
        if not np.ptp(self.film, axis=1).any():
            return self
        return Belief.unknown(self.unsound, self.told)

    def after_look(self, likelihood: tuple[float, ...]) -> "Belief":
        """After a look at the film at rest.

        likelihood : (states,) of the image in each state, up to a common factor
        """
        seen = np.asarray(likelihood, float)
        if seen.shape != (len(STATES),) or not np.isfinite(seen).all() or seen.min() < 0:
            raise ValueError(f"likelihood {likelihood}: {len(STATES)} numbers, none below 0")
        # A film may change between two looks (it drifts, somebody else pulses it).
        film = (1 - _CHANGES) * self.film + _CHANGES * self.film.sum(1, keepdims=True) / len(STATES)
        film = film * seen
        told, sound = self.told, self.film[0]
        if sound.max() >= _EXPECTED * sound.sum():
            bore_out = int(seen.argmax() == sound.argmax())
            told = told._replace(
                agreed=told.agreed + bore_out, contradicted=told.contradicted + 1 - bore_out
            )
        return Belief(film / film.sum(), told)

    def after_shot(
        self,
        transitions: np.ndarray | None,
        background: int,
        reliability: Reliability,
        *,
        named: bool,
        harmless: bool = False,
    ) -> "Belief":
        """After a movie.

        transitions : (TRANSITIONS,) what the network says; None where it says nothing (a movie it
            is not made for, lost frames): anything may have happened then
        background : of the movie's first frame, +1 or -1, which transitions are counted from
        named : whether the network names the process; an abstention speaks against it
        harmless : the pulse was too weak to change a film
        """
        base = reliability._base
        follows = base / base.sum(axis=(1, 2), keepdims=True)
        if harmless:
            follows = _CHANGES * follows + (1 - _CHANGES) * _KEPT
        prior = self._kinds(background)  # (2, kinds)
        spread = np.einsum("ri,ijt->rjt", prior, follows)
        if transitions is None:
            return Belief(_by_state(spread, background), self.told)
        said = np.asarray(transitions, float).reshape(base.shape)
        told = self.told._replace(unnamed=self.told.unnamed + (not named))
        expected, begins = prior[0], said.sum(axis=(1, 2))
        if expected.max() >= _EXPECTED * prior[0].sum() and begins.argmax() != expected.argmax():
            told = told._replace(itself=told.itself + 1)
        said = (1 - reliability.wrong) * said + reliability.wrong * base
        ratio = said / base
        joint = prior[0][:, None, None] * follows * ratio  # of a sound network's verdict
        sound = joint.sum(axis=0)
        # One that is not sound is right by luck now and then, and otherwise says anything.
        lucky = np.einsum("i,ijt->jt", prior[1], follows * ratio)
        unsound = _LUCK * lucky + (1 - _LUCK) * spread[1]
        abstains = reliability.abstains
        sound = sound * ((1 - abstains) if named else abstains)
        unsound = unsound * ((1 - _ABSTAINS_UNSOUND) if named else _ABSTAINS_UNSOUND)
        return Belief(_by_state(np.stack([sound, unsound]), background), told)

    def _kinds(self, background: int) -> np.ndarray:
        """(2, kinds) probabilities of the film before a shot whose first frame shows this
        background. That it does is seen, but for what has changed since."""
        film = self.film.reshape(2, len(KINDS), 2)
        total = film.sum(axis=(1, 2), keepdims=True)
        film = (1 - _CHANGES) * film + _CHANGES * total / len(STATES)
        return film[:, :, int(background > 0)]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for events and reports."""
        return {
            **{
                f"{kind}{'+' if sign > 0 else '-'}": float(p)
                for p, (kind, sign) in zip(self.states, STATES, strict=True)
            },
            "unsound": self.unsound,
        }

    def __str__(self) -> str:
        kind, sign = self.likeliest
        what = {"empty": "an empty film", "one": "one skyrmion", "other": "something else"}[kind]
        return f"{what} in {'+' if sign > 0 else '-'}z ({self.states.max():.1%})"


def _unknown(unsound: float) -> np.ndarray:
    if not 0 <= unsound <= 1:
        raise ValueError(f"unsound {unsound}: a probability")
    film = np.full((2, len(STATES)), 1 / len(STATES))
    return film * np.array([[1 - unsound], [unsound]])


def _by_state(ends: np.ndarray, background: int) -> np.ndarray:
    """Ends (2, kinds, turned), counted from ``background``, as (2, states), normalised."""
    film = ends if background < 0 else ends[:, :, ::-1]
    film = film.reshape(2, len(STATES))
    return film / film.sum()

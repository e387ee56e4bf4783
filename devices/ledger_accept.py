"""What a person sees of a ledger that is not trusted, and how it goes on."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyctl.devices.chain import Key, Tip
from skyctl.devices.ledger import Ledger
from skyctl.devices.ledger_files import beside, hold, new_segment, open_ledger, refused, segments_of
from skyctl.devices.ledger_lines import Spent, checkpoint_of, entry_of, shot_in, whole_lines
from skyctl.devices.ledger_names import Names
from skyctl.devices.ledger_samples import samples_beside
from skyctl.errors import PulseRefused


@dataclass(frozen=True)
class Found:
    """What a ledger says, be it trusted or not.

    fault : why it is not, or ""; spent : what its lines, or the key's note of them, sum up to
    unreadable : numbers of the lines that are none; missing : shots that were noted and are gone
    """

    fault: str
    spent: Spent
    unreadable: tuple[int, ...]
    missing: int


def inspect(path: Path) -> Found:
    """What a ledger says. Nothing is changed. Raises PulseRefused when it is held or not there."""
    if not path.exists():
        raise refused(path, "is not there. See whether the path is right.")
    fault = ""
    try:
        Ledger(path).close()
    except PulseRefused as error:
        fault = str(error)
    with open_ledger(path) as file:
        hold(path, file)
    with (
        contextlib.suppress(OSError, ValueError),
        contextlib.closing(Key(beside(path, "key"))) as key,
    ):
        return _found(path, fault, key.tip)
    return _found(path, fault, Tip())


def _found(path: Path, fault: str, tip: Tip) -> Found:
    spent, unreadable, samples = Spent(), [], samples_beside(path)
    for number, line in whole_lines(path):
        try:
            checkpoint = checkpoint_of(line) if number == 1 else None
            if checkpoint:
                spent = Spent(**checkpoint["spent"])
            else:
                entry = entry_of(line, samples)
                spent = spent.and_(entry.pulse, entry.repeats)
        except (ValueError, KeyError, TypeError):
            unreadable.append(number)
    shots = spent.shots + len(unreadable)
    total = Spent(
        shots=max(shots, tip.shots), dose_T2ps=max(spent.dose_T2ps, tip.dose_T2ps),
        dose_A2s_per_m4=max(spent.dose_A2s_per_m4, tip.dose_A2s_per_m4),
        amplitude_T=spent.amplitude_T,
    )  # fmt: skip
    return Found(fault, total, tuple(unreadable), max(0, tip.shots - shots))


def accept(
    path: Path,
    who: str,
    why: str,
    *,
    shots: int | None = None,
    dose_T2ps: float | None = None,
    dose_A2s_per_m4: float | None = None,
) -> Spent:
    """Have a ledger go on that is not as it was written: a person says what was spent.

    who, why : stand in the new segment's first line. The old one is kept beside it
    shots, dose_T2ps, dose_A2s_per_m4 : spent so far; None takes what `inspect` finds

    Names of shots are gathered anew from all segments. Raises PulseRefused when it is held, and
    ValueError without a reason or a dose that the lines do not tell.
    """
    found = inspect(path)
    if not who.strip() or not why.strip():
        raise ValueError(f"ledger {path}: say who accepts it, and why")
    if found.unreadable and dose_T2ps is None:
        raise ValueError(
            f"ledger {path}: lines {found.unreadable[:5]} cannot be read, so their dose is "
            "unknown. Give the dose in all."
        )
    if found.unreadable and found.spent.dose_A2s_per_m4 and dose_A2s_per_m4 is None:
        raise ValueError(
            f"ledger {path}: lines {found.unreadable[:5]} cannot be read, and currents were "
            "fired. Give their dose in all as well."
        )
    spent = Spent(
        shots=found.spent.shots if shots is None else shots,
        dose_T2ps=found.spent.dose_T2ps if dose_T2ps is None else dose_T2ps,
        dose_A2s_per_m4=(
            found.spent.dose_A2s_per_m4 if dose_A2s_per_m4 is None else dose_A2s_per_m4
        ),
        amplitude_T=found.spent.amplitude_T,
    )
    doses = spent.dose_T2ps, spent.dose_A2s_per_m4
    if spent.shots < 0 or not all(0 <= dose < math.inf for dose in doses):
        raise ValueError(f"ledger {path}: {spent.shots} shots, {spent}: not below 0")
    segments = segments_of(path)
    with open_ledger(path) as file:
        hold(path, file)
        try:
            key = Key(beside(path, "key"))
        except ValueError:
            beside(path, "key").unlink()
            key = Key.make(beside(path, "key"))
        except FileNotFoundError:
            key = Key.make(beside(path, "key"))
        with contextlib.closing(key):
            names = Names.anew(path, key, _shots_in([*segments.values(), path]))
            number = max(segments, default=0) + 1
            new, _, chain = new_segment(
                path, key, number, "", spent.shots, spent, names,
                {"by": who, "why": why, "fault": found.fault},
            )  # fmt: skip
            key.note(Tip(spent.shots, chain, spent.shots, *doses), sync=True)
            new.close()
    return spent


def _shots_in(files: list[Path]) -> Iterator[str]:
    for file in files:
        for _, line in whole_lines(file):
            with contextlib.suppress(ValueError):
                yield shot_in(line)

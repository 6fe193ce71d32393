"""The nights of a challenger in shadow, as the ledger keeps them, and what they lead to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bt_core.config.settings import RetrainConfig
from bt_core.statistics.promotion import Evidence, Night, Rules, Ruling, evidence
from bt_core.wording import counted


@dataclass(frozen=True)
class NightRecord:
    """What one run adds to the evidence on a challenger.

    Attributes:
        run: the run's id, which tells records of the same moment apart.
        concluded: when the run concluded, in Unix seconds.
        rows: the digests of the rows that it compared on.
        night: what they say.
    """

    run: str
    concluded: float
    rows: frozenset[str]
    night: Night


def nights_until(run: str, records: Iterable[NightRecord]) -> list[Night]:
    """The nights that count when a run concludes: its own and those before it, whose rows no earlier one has had.

    So runs at the same time that scored the same rows count once, and a run that is settled again finds what it found.
    """
    nights: list[Night] = []
    had: set[str] = set()
    for record in sorted(records, key=lambda record: (record.concluded, record.run)):
        if not record.rows & had:
            nights.append(record.night)
            had |= record.rows
        if record.run == run:
            break
    return nights


def judged(nights: Sequence[Night], settings: RetrainConfig) -> tuple[Ruling, Evidence, str]:
    """What the nights of a challenger lead to, the evidence, and both as a sentence."""
    rules = Rules(settings.promote_at, settings.drop_below, settings.nights)
    found = evidence(nights, settings.margin)
    ruling = found.ruling(rules)
    return ruling, found, _sentence(ruling, found, rules, settings.margin)


def _sentence(ruling: Ruling, found: Evidence, rules: Rules, margin: float) -> str:
    after = (
        f"After {counted(found.nights, 'night')} the evidence that the challenger is better than the champion by more"
        f" than {margin:g} is an e-value of {found.e_value:.3g}"
    )
    if ruling == Ruling.PROMOTE:
        return f"{after}, at least {rules.promote_at:g}: it becomes champion."
    if ruling == Ruling.WAIT:
        left = counted(rules.nights - found.nights, "night")
        return f"{after}, below {rules.promote_at:g}: it stays in shadow, for {left} more at most."
    if found.e_value < rules.drop_below:
        return f"{after}, below {rules.drop_below:g}: it is dropped."
    return f"{after}, below {rules.promote_at:g}, and it has had its {counted(rules.nights, 'night')}: it is dropped."

"""Looks at one sweep: how often its arms may be compared, and the level of each comparison.

Whoever adds rows or seeds to an undecided sweep and compares again has two chances of a false claim. Two looks that are
planned beforehand therefore share alpha: by Bonferroni's inequality the chance of a false claim at either look is at
most the sum of their levels, whatever the second look adds and whatever the first one showed.
"""

from dataclasses import dataclass

from bt_core.errors import ConfigError

#: Planned looks -> the parts of alpha that each spends. The last look has the most rows, and the most alpha.
_SPENDING = {1: (1,), 2: (1, 4)}
#: The most looks that can be planned.
MOST_LOOKS = max(_SPENDING)


@dataclass(frozen=True)
class Look:
    """A comparison of a sweep's arms, and its place in the plan.

    Attributes:
        number: 1 for the first look.
        planned: how many looks were planned before the first one.
        total_alpha: the chance of any false claim at any of the looks.

    Raises:
        ConfigError: when there is no such look.
    """

    number: int = 1
    planned: int = 1
    total_alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.planned not in _SPENDING:
            raise ConfigError(f"`looks` is {self.planned}: plan 1 look, or {MOST_LOOKS}.")
        if not 1 <= self.number <= self.planned:
            raise ConfigError(f"`look` is {self.number}, and `looks` is {self.planned}: give a look of the plan.")

    @property
    def level(self) -> float:
        """The chance of any false claim at this look; 1 minus the confidence of its intervals."""
        return self._level(self.number)

    @property
    def last_level(self) -> float:
        """The level of the last look that was planned."""
        return self._level(self.planned)

    def _level(self, number: int) -> float:
        parts = _SPENDING[self.planned]
        return self.total_alpha * parts[number - 1] / sum(parts)

    def sentence(self, is_open: bool) -> str:
        """Which look this is, and what may follow it; empty where there is nothing to say.

        Args:
            is_open: whether the verdict is undecided.
        """
        if self.planned == 1:
            return _UNPLANNED if is_open else ""
        first, second = (_percent(self._level(number)) for number in (1, 2))
        if self.number == 1:
            this = f"This is the first of two planned looks, tested at {first}."
            later = (
                f" The second and last one, with more test rows or seeds, is tested at {second} (`bt sweep --extend`)."
            )
        else:
            this = f"This is the second and last of two planned looks, tested at {second}; the first had {first}."
            later = " Another look takes test rows that no look has seen (docs/sweep.md)."
        return this + (later if is_open else "")


#: What a sweep is where nothing was planned.
ONLY_LOOK = Look()
_UNPLANNED = (
    "To test this sweep again after adding rows or seeds would be a second look, with more false claims than "
    "the level says: plan two looks before the first one (`bt sweep --looks 2`), or use test rows that no look has "
    "seen (docs/sweep.md)."
)


def _percent(level: float) -> str:
    return f"{100 * level:.3g}%"

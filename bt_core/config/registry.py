"""Every step kind there is: the built-in ones, and those that other installed packages register."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from pydantic import create_model

from bt_core.config.section import Section
from bt_core.config.settings import Config
from bt_core.config.step_kind import StepKind
from bt_core.errors import ConfigError, first_line

#: The entry point group in which a package registers its step kinds.
GROUP = "bt_steps"

#: Kinds of the other stages, which reports, labels and lineages tell from step kinds by their names alone.
_STAGES = (
    *("prepare", "bootstrap", "shard", "evaluate", "register", "score", "compare", "report"),
    *("fresh", "drift", "challenge", "promote", "outcome", "start", "vanilla"),
)


def built_in_kinds() -> dict[str, StepKind]:
    """The step kinds that come with this package, by their letter."""
    fields = Config.model_fields.items()
    return {name: kind for name, field in fields for kind in field.metadata if isinstance(kind, StepKind)}


@cache
def step_kinds() -> Mapping[str, StepKind]:
    """Every step kind by its name, the built-in ones first.

    Raises:
        ConfigError: when an installed package registers a step kind that cannot be used.
    """
    kinds = built_in_kinds()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        _check_name(entry, kinds)
        kinds[entry.name] = _load(entry)
    return MappingProxyType(kinds)


@cache
def config_model() -> type[Config]:
    """`Config` with a section for each step kind of another package; `Config` itself where there is none.

    Raises:
        ConfigError: as `step_kinds` does.
    """
    added = {name: kind.settings for name, kind in step_kinds().items() if name not in Config.model_fields}
    if not added:
        return Config
    fields: dict[str, Any] = {name: (settings, settings()) for name, settings in added.items()}
    return create_model(Config.__name__, __base__=Config, __module__=__name__, **fields)


def _check_name(entry: EntryPoint, kinds: Mapping[str, StepKind]) -> None:
    name = entry.name
    # Names of pipelines are joined from those of steps, and Kubeflow allows no underscore in them.
    if re.fullmatch(r"[a-z][a-z0-9]*", name) is None:
        raise _refused(entry, "is not a lower-case identifier: use letters and digits, without underscores")
    if name in kinds or name in _STAGES or name in Config.model_fields or hasattr(Config, name):
        raise _refused(entry, "has a name that is taken: choose another name")


def _load(entry: EntryPoint) -> StepKind:
    try:
        kind = entry.load()
    except Exception as error:  # a module of another package may raise anything
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise _refused(entry, f"cannot be loaded from {entry.value} ({reason}): repair the package") from None
    if not isinstance(kind, StepKind):
        what = f"{entry.value} is a {type(kind).__name__} and no `bt_core.config.StepKind`"
        raise _refused(entry, f"cannot be used, since {what}: name one there")
    settings: Any = kind.settings  # nothing has checked what another package wrote there
    if not (isinstance(settings, type) and issubclass(settings, Section)):
        raise _refused(entry, "has settings that are no `bt_core.config.Section`: derive them from it")
    needed = [f"`{name}`" for name, field in settings.model_fields.items() if field.is_required()]
    if needed:
        raise _refused(entry, f"has settings without a default ({', '.join(needed)}): give each one a default")
    return kind


def _refused(entry: EntryPoint, what: str) -> ConfigError:
    package = entry.dist.name if entry.dist else "an unknown package"
    return ConfigError(f"The step kind `{entry.name}` of the installed package {package} {what}, or uninstall it.")

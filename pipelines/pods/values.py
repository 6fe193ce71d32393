"""The types of the values in a profile: times, amounts, names, and environment that anyone may read."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from bt_core.config import PLAIN
from bt_core.trust.credentials import has_credentials

#: Variables that a profile may not set, and what to do instead.
OWN_VARIABLES = {
    "KFP_RUN_ID": "the pipeline sets it itself",
    "BT_STRATEGY": "the pipeline sets it itself",
    "BT_IMAGE": "use `image`",
    "MLFLOW_TRACKING_URI": "use `tracking_uri`",
    "BT_CACHE": "use `model_cache`",
}

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Kubernetes keeps these times in 32 bits.
_MOST_SECONDS = 2**31
#: How many of a unit an amount of a resource may have, in digits.
_DIGITS = "[0-9]{1,15}"
_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN(?!S|IZ)|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY|WEBHOOK", re.IGNORECASE
)


def refuse(message: str) -> PydanticCustomError:
    """A mistake in a value; the sentence does not repeat the value, which may be a secret."""
    return PydanticCustomError(PLAIN, "{message}", {"message": message})


def _text(value: Any) -> Any:
    """Numbers as text: `cpu: 2` is a number in YAML and a quantity here."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _seconds(value: Any) -> Any:
    match = re.fullmatch(r"([0-9]{1,10})([smhd]?)", str(value))
    seconds = int(match[1]) * _SECONDS[match[2] or "s"] if match and not isinstance(value, bool) else 0
    if not 0 < seconds < _MOST_SECONDS:
        raise refuse("must be a time above zero, such as 90s, 30m, 12h or 7d, and less than 68 years")
    return seconds


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value, re.ASCII) is None:
            raise refuse(message)
        return value

    return AfterValidator(check)


def _without_credentials(uri: str) -> str:
    if has_credentials(uri):
        raise refuse(
            "holds a user name or password, which anyone could read in the compiled file: leave them out, and take "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD from a secret of the cluster under `secrets`"
        )
    return uri


def _public(values: dict[str, str]) -> dict[str, str]:
    """Refuse variables that the pipeline sets itself, and values that look like secrets: anyone can read the file."""
    wrong = [f"may not set {name} ({OWN_VARIABLES[name]})" for name in values if name in OWN_VARIABLES]
    secret = [name for name, value in values.items() if _SECRET_NAME.search(name) or has_credentials(value)]
    if secret:
        named = f"may not hold {', '.join(secret)}, a secret to judge by its name or its value"
        wrong.append(f"{named}: take it from the cluster by `secrets`")
    if wrong:
        raise refuse(" and ".join(wrong))
    return values


def cores(amount: str) -> float:
    """A checked amount of CPU in cores."""
    return float(amount[:-1]) / 1000 if amount.endswith("m") else float(amount)


def memory_bytes(amount: str) -> int:
    """A checked amount of memory in bytes (the suffixes of Kubernetes' quantities)."""
    digits = amount.rstrip("EPTGMKi")
    unit = amount[len(digits) :]
    factor = (1024 if unit.endswith("i") else 1000) ** (1 + "KMGTPE".index(unit[0])) if unit else 1
    return int(digits) * int(factor)


_LABEL = r"[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME = rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*"

Seconds = Annotated[int, BeforeValidator(_seconds)]
Cpu = Annotated[
    str, BeforeValidator(_text), _matching(rf"{_DIGITS}(\.[0-9]{{1,15}})?|{_DIGITS}m", "must be cores: 2, 0.5 or 500m")
]
Memory = Annotated[
    str, BeforeValidator(_text), _matching(rf"{_DIGITS}([EPTGM]i?|Ki)?", "must be bytes with a unit: 512Mi or 8Gi")
]
Name = Annotated[str, _matching(_DNS_NAME, "must be a Kubernetes name: a-z, 0-9, `-` and `.`")]
#: Kubeflow gives the pod's volume the name of its claim (backend/src/v2/driver/k8s.go, makeVolumeMountPatch), and
#: Kubernetes takes shorter names for volumes than for claims.
Claim = Annotated[
    str,
    _matching(
        rf"(?=.{{1,63}}$){_DNS_LABEL}",
        "must be at most 63 of a-z, 0-9 and `-`, without dots, since the pod's volume gets this name too",
    ),
]
#: A key in a secret or in a config map.
SourceKey = Annotated[
    str, _matching(r"(?!\.{1,2}$)[-\w.]{1,253}", "must be a key in it: letters, digits, `-`, `_` and `.`")
]
Variable = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]*", "must be the name of an environment variable")]
Label = Annotated[str, _matching(f"({_LABEL})?", "must be a label: at most 63 letters, digits, `-_.`")]
#: The key of a label, an annotation, a node selector or a toleration, and the name of an accelerator.
LabelKey = Annotated[
    str,
    _matching(
        rf"({_DNS_NAME.replace('$', '/')}/)?{_LABEL}",
        "must be at most 63 letters, digits, `-_.`, after a domain and `/` or without one",
    ),
]
SubPath = Annotated[str, _matching(r"(?!/)(?!(.*/)?\.\.(/|$)).*", "must be a path inside the volume, without `..`")]
FolderPath = Annotated[str, _matching(r"/[^:]+", "must be an absolute path")]
Uri = Annotated[str, AfterValidator(_without_credentials)]
Environment = Annotated[dict[Variable, str], AfterValidator(_public)]

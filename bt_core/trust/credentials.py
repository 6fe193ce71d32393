"""Credentials: no address that we print, compile or store holds one, and no key goes to where it does not belong."""

import re

#: A user name or password before the host of an address. A password may hold slashes; a port holds digits alone.
_USER = r"//(?:[^/?#\s'\"]*|[^/?#\s'\":\[]+:(?!\d*(?:[/?#\s]|$))[^?#\s'\"]*)@"
_SECRET_QUERY = r"://[^\s'\"]*[?&#;][^=&#\s]*(?:key|token|secret|passw|pwd|auth|cred|(?<![a-z])sig)[^=&#\s]*=[^&#\s]"
_WITHOUT_SCHEME = re.compile(r"(?<![\w/.@-])[\w.%+-]+:[^\s@/'\"]+@")
_IN_TEXT = re.compile(_USER)
_IN_ADDRESS = re.compile(f":{_USER}|{_SECRET_QUERY}", re.IGNORECASE)
_QUERY = re.compile(r"\?\S*")
#: How the variables begin that hold the keys of other services, which no endpoint of an LM may be sent.
FOREIGN = (
    *("AWS_", "AZURE_", "GOOGLE_", "GCP_", "HF_", "HUGGING", "GITHUB_", "GH_", "GITLAB_", "CI_", "DOCKER_"),
    *("KUBE", "KF_", "MLFLOW_", "DATABRICKS_", "WANDB_", "SSH_", "BT_WEBHOOK"),
)


def redact(text: str) -> str:
    """Remove user names, passwords and query strings from every address in the text."""
    return _QUERY.sub("", _WITHOUT_SCHEME.sub("", _IN_TEXT.sub("//", text)))


def has_credentials(address: str) -> bool:
    """Whether an address holds a user name, a password, or a query such as `?key=...` or that of a signed URL."""
    return _IN_ADDRESS.search(address) is not None


def endpoint_fault(address: str) -> str:
    """What is wrong with the address of an endpoint, without any part of it; empty where nothing is."""
    if "@" in address or has_credentials(address):
        return (
            "holds a user name, a password or a key, which everybody could read in the files of a run: leave it out,"
            " put the key into an environment variable, and name that in `key_variable`"
        )
    return ""


def key_variable_fault(name: str) -> str:
    """Why an environment variable may not hold the key of an endpoint; empty where it may.

    What is no name of a variable is not repeated, since it may be the key itself.
    """
    if name and re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) is None:
        return "must be the name of an environment variable, in capitals, and never the key itself: write ENDPOINT_KEY"
    if name.startswith(FOREIGN):
        return (
            f"names {name}, whose name says that it holds a secret of another service: put the endpoint's own key into"
            " a variable of its own, such as ENDPOINT_KEY, and name that"
        )
    return ""

"""The errors of a store: each as a sentence, and whether a retry may help."""

from typing import Any

from bt_core.errors import BtError, DataError, WorldError
from bt_core.trust.credentials import redact

#: Error code of a refused request -> the reason and what to do, for the sentence.
ANSWERS = {
    "NoSuchBucket": "its bucket does not exist: check the name and AWS_ENDPOINT_URL",
    "NoSuchKey": "the bucket has no such key: check the path, and end a folder's with a slash",
    "AccessDenied": "access was denied: give these credentials the right to do so",
    "InvalidAccessKeyId": "access was denied, the access key is unknown: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "access was denied, the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "access was denied, the credentials have expired: renew them",
    "PermanentRedirect": "its bucket lies elsewhere: check AWS_REGION and AWS_ENDPOINT_URL",
}
#: Error codes that ask for a retry, although their status is below 500.
BUSY = ("ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests")


class MissingObject(DataError):
    """The bucket exists but has no such object."""


class ConditionFailed(DataError):
    """The condition of a write did not hold, since another writer came first; nothing was written."""


def aws_errors() -> tuple[type[Exception], ...]:
    """The exceptions that a request can raise."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    return (ClientError, BotoCoreError, ResponseParserError, RetriesExceededError, S3DownloadFailedError)


def code_of(error: Exception) -> str:
    """The store's error code; empty where the store did not answer."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code")) if isinstance(response, dict) and "Error" in response else ""


def is_transient(error: Exception) -> bool:
    """Whether a retry may help: the store failed or is busy, or the connection broke."""
    from botocore import exceptions as aws
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    if isinstance(error, aws.ClientError):
        return _status(error.response) >= 500 or _status(error.response) == 429 or code_of(error) in BUSY
    # S3DownloadFailedError: the object was replaced while it was read.
    return isinstance(error, (*_broken(), RetriesExceededError, S3DownloadFailedError))


def sentence(address: str, verb: str, error: Exception) -> BtError:
    """The error for a request that failed for good.

    Args:
        address: the object or prefix of the request.
        verb: what the request was for: `read`, `written`, `listed`.
        error: one of `aws_errors`.
    """
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _refused(address, verb, error.response)
    if isinstance(error, aws.NoCredentialsError):
        return DataError(
            f"{address} cannot be {verb} without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
            " or AWS_PROFILE."
        )
    if isinstance(error, aws.FlexibleChecksumError):
        return altered(address)
    reason = redact(" ".join(str(error).split()).rstrip("."))  # it may repeat AWS_ENDPOINT_URL or a proxy
    if isinstance(error, _broken()):
        return WorldError(f"{address} cannot be reached ({reason}): check AWS_ENDPOINT_URL and the network.")
    if is_transient(error):
        return WorldError(f"{address} cannot be {verb} ({reason}): try again later.")
    return DataError(f"{address} cannot be {verb} ({reason}): check the address and the AWS settings.")


def no_store(address: str) -> DataError:
    """The error for an answer from a service that is no store."""
    return DataError(f"{address} cannot be listed, its endpoint speaks no S3: check AWS_ENDPOINT_URL.")


def altered(address: str, difference: str = "") -> DataError:
    """The error for content that is not what was written."""
    shown = f" ({difference})" if difference else ""
    return DataError(f"{address} was altered or cut short after it was written{shown}: write the original again.")


def _refused(address: str, verb: str, response: dict[str, Any]) -> BtError:
    """The error for a request that the store refused."""
    code = str(response["Error"].get("Code"))
    if code in ANSWERS:
        kind = MissingObject if code == "NoSuchKey" else DataError
        return kind(f"{address} cannot be {verb}, {ANSWERS[code]}.")
    message = str(response["Error"].get("Message")).rstrip(".")
    if _status(response) >= 500 or code in BUSY:
        return WorldError(f"{address} cannot be {verb}, the store failed ({code}: {message}): try again later.")
    return DataError(f"{address} cannot be {verb} ({code}: {message}): check address, endpoint and credentials.")


def _status(response: dict[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _broken() -> tuple[type[Exception], ...]:
    """The exceptions of a store that was not reached, or of a connection that broke."""
    from botocore import exceptions as aws

    return (
        aws.ConnectionError,
        aws.HTTPClientError,
        aws.IncompleteReadError,
        aws.ResponseStreamingError,
        aws.CredentialRetrievalError,
    )

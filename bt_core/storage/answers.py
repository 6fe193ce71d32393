"""What goes wrong with a store, as a sentence, and whether trying again may help."""

from typing import Any

from bt_core.errors import BtError, DataError, WorldError

#: What a store answers to a request that is wrong, by its error code.
ANSWERS = {
    "NoSuchBucket": "its bucket does not exist: check the name and AWS_ENDPOINT_URL",
    "NoSuchKey": "the bucket has no such key: check the path, and end a folder's with a slash",
    "AccessDenied": "access was denied: give these credentials the right to do so",
    "InvalidAccessKeyId": "access was denied, the access key is unknown: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "access was denied, the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "access was denied, the credentials have expired: renew them",
    "PermanentRedirect": "its bucket lies elsewhere: check AWS_REGION and AWS_ENDPOINT_URL",
}
#: Answers below 500 that ask to try again.
BUSY = ("ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests")


class MissingObject(DataError):
    """The bucket is there and has no such object."""


class ConditionFailed(DataError):
    """A conditional write found that another writer was there first; nothing was written."""


def aws_errors() -> tuple[type[Exception], ...]:
    """Everything that a request can raise."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    return (ClientError, BotoCoreError, ResponseParserError, RetriesExceededError, S3DownloadFailedError)


def code_of(error: Exception) -> str:
    """The store's error code; empty where it did not answer."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code")) if isinstance(response, dict) and "Error" in response else ""


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later: the store failed or is busy, or the connection broke."""
    from botocore import exceptions as aws
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    if isinstance(error, aws.ClientError):
        return _status(error.response) >= 500 or _status(error.response) == 429 or code_of(error) in BUSY
    # S3DownloadFailedError: the object was replaced while it was read.
    return isinstance(error, (*_broken(), RetriesExceededError, S3DownloadFailedError))


def sentence(address: str, verb: str, error: Exception) -> BtError:
    """The error for a request that was given up.

    Args:
        address: what was asked for.
        verb: what was to be done with it: `read`, `written`, `listed`.
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
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, _broken()):
        return WorldError(f"{address} cannot be reached ({reason}): check AWS_ENDPOINT_URL and the network.")
    if is_passing(error):
        return WorldError(f"{address} cannot be {verb} ({reason}): try again later.")
    return DataError(f"{address} cannot be {verb} ({reason}): check the address and the AWS settings.")


def no_store(address: str) -> DataError:
    """An answer from something that is no store."""
    return DataError(f"{address} cannot be listed, its endpoint speaks no S3: check AWS_ENDPOINT_URL.")


def altered(address: str, found: str = "") -> DataError:
    """Content that is not what was written."""
    return DataError(
        f"{address} was altered or cut short after it was written{found and f' ({found})'}: write the original again."
    )


def _refused(address: str, verb: str, response: dict[str, Any]) -> BtError:
    """The store was reached and said no."""
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
    """The store was not reached, or the connection broke."""
    from botocore import exceptions as aws

    return (
        aws.ConnectionError,
        aws.HTTPClientError,
        aws.IncompleteReadError,
        aws.ResponseStreamingError,
        aws.CredentialRetrievalError,
    )

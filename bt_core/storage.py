"""Files in S3 or in a store that speaks its protocol; the only file that knows boto3.

Endpoint, region and credentials come from where AWS's own tools find them: `AWS_ENDPOINT_URL`,
`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`, `~/.aws`, or the machine's role.
"""

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from bt_core.errors import BtError, DataError, WorldError

SCHEME = "s3://"

#: What a store answers to a request that is wrong, by its error code.
ANSWERS = {
    "NoSuchBucket": "its bucket does not exist: check the name and AWS_ENDPOINT_URL",
    "NoSuchKey": "the bucket has no such key: check the path",
    "AccessDenied": "access was denied: let these credentials read it",
    "InvalidAccessKeyId": "access was denied, the access key is unknown: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "access was denied, the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "access was denied, the credentials have expired: renew them",
}


def is_remote(address: str) -> bool:
    return address.startswith(SCHEME)


def local_copy(address: str, folder: Path) -> Path:
    """Download one file.

    Args:
        address: `s3://bucket/key`.
        folder: an existing folder; the copy is called `data` there and keeps the key's suffix.

    Raises:
        DataError: when the address is none, bucket or key do not exist, or access is denied.
        WorldError: when the endpoint cannot be reached, or fails on its side.
    """
    from boto3 import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not is_remote(address) or not bucket or not key or key.endswith("/"):
        raise DataError(f"{address} names no file in S3: write s3://bucket/key.")
    path = folder / f"data{PurePosixPath(key).suffix}"
    try:
        client = Session().client("s3", config=Config(connect_timeout=10))
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        with path.open("wb") as file:
            shutil.copyfileobj(body, file)
    except ClientError as error:
        raise _refused(address, error.response) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise _failed(address, error) from None
    return path


def _refused(address: str, response: dict[str, Any]) -> BtError:
    """The store was reached and said no."""
    code = str(response["Error"].get("Code"))
    if code in ANSWERS:
        return DataError(f"{address} cannot be read, {ANSWERS[code]}.")
    message = str(response["Error"].get("Message")).rstrip(".")
    if response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return WorldError(f"{address} cannot be read, the store failed ({code}: {message}): try again later.")
    return DataError(f"{address} cannot be read ({code}: {message}): check address and credentials.")


def _failed(address: str, error: Exception) -> BtError:
    """The store was not reached, or the connection broke, or there was nothing to reach it with."""
    from botocore import exceptions as aws

    if isinstance(error, aws.NoCredentialsError):
        return DataError(
            f"{address} cannot be read without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
            " or AWS_PROFILE."
        )
    reason = str(error).rstrip(".")
    broken = (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError, aws.CredentialRetrievalError)
    if isinstance(error, broken):
        return WorldError(f"{address} cannot be reached ({reason}): check AWS_ENDPOINT_URL and the network.")
    return DataError(f"{address} cannot be read ({reason}): check the address and the AWS settings.")

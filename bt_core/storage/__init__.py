"""Files in S3, or in another store that speaks its protocol. No other package imports boto3.

Endpoint, region and credentials are found as AWS's own tools find them: `AWS_ENDPOINT_URL`,
`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`, `~/.aws`, or the machine's role.
"""

from bt_core.storage.addresses import is_remote, under
from bt_core.storage.answers import ConditionFailed, MissingObject
from bt_core.storage.patience import PATIENCE_VARIABLE
from bt_core.storage.store import Store, local_copy
from bt_core.storage.transfer import StoredObject

__all__ = [
    "PATIENCE_VARIABLE",
    "ConditionFailed",
    "MissingObject",
    "Store",
    "StoredObject",
    "is_remote",
    "local_copy",
    "under",
]

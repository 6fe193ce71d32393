"""The manifest with which KServe serves an exported program's weights (`serve.py --vllm` then asks it).

It follows `serving.kserve.io/v1alpha2`, LLMInferenceService, whose controller downloads the base model and the adapters
and starts vLLM with `--enable-lora --lora-modules` (kserve, `pkg/controller/v1alpha2/llmisvc/workload_lora.go`).
"""

import re

from bt_core.errors import ConfigError
from bt_core.models.published import HubModel
from bt_core.storage import is_remote, under

MANIFEST_FILE = "llminferenceservice.yaml"
#: Kubernetes takes names of at most 63 letters, digits and hyphens.
LONGEST_NAME = 63

_HEAD = """\
# Copy the folder `adapters` to {adapters} first, then: kubectl apply -f {file}
# The service account needs the right to read that place. This manifest has been checked against KServe's schema, and
# has not been tried on a cluster.
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata:
  name: "{name}"
spec:
  model:
    uri: "hf://{base}:{revision}"
    name: "{base}"
"""
_LORA = """\
    lora:
      maxRank: {rank}
      adapters:
"""
_ADAPTER = """\
        - name: "{name}"
          uri: "{uri}"
"""
_TAIL = """\
  replicas: 1
  router:
    route: {}
    gateway: {}
"""


def inference_service(task: str, base: HubModel, adapters: tuple[str, ...], rank: int, place: str) -> str:
    """The manifest's text.

    Args:
        task: the task's name, which the service is called after.
        base: the base model.
        adapters: the names of the adapters.
        rank: the highest rank of one that vLLM takes.
        place: s3://bucket/prefix under which the adapters' folders will lie.

    Raises:
        ConfigError: when the place is not in S3.
    """
    if not is_remote(place) or not re.fullmatch(r"[\w.:/=-]+", place):
        raise ConfigError(f"The adapters' place {place!r} is none in S3: write s3://bucket/prefix.")
    name = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")[:LONGEST_NAME].rstrip("-") or "program"
    text = _HEAD.format(adapters=place, file=MANIFEST_FILE, name=name, base=base.id, revision=base.revision)
    if adapters:
        text += _LORA.format(rank=rank)
        text += "".join(_ADAPTER.format(name=adapter, uri=under(place, adapter)) for adapter in adapters)
    return text + _TAIL

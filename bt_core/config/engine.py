"""Settings of the engines that run the program's model and the teacher's."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from bt_core.config.section import EndpointAddress, KeyVariable, Section


class EngineConfig(Section):
    """Where and how the model runs (docs/vllm.md)."""

    kind: Literal["transformers", "vllm", "server"] = Field(
        "transformers", description="transformers or vLLM in this process, or an OpenAI-compatible endpoint"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where the device has it")
    in_flight: int = Field(256, ge=1, description="examples whose LM calls are gathered into one batch")
    batch_tokens: int = Field(
        16384, ge=256, description="tokens, padding included, in one forward pass; halved when memory runs out"
    )
    prefix_tokens: int = Field(
        8192, ge=0, description="tokens of shared prefixes whose keys and values are kept between batches"
    )
    context: int = Field(
        0, ge=0, description="vllm: most tokens of prompt and answer together; 0: the model's own limit"
    )
    gpu_memory: float = Field(0.9, gt=0.0, le=1.0, description="vllm: share of each GPU's memory that it may use")
    tensor_parallel: int = Field(1, ge=1, description="vllm: GPUs that the model is split across")
    lora_rank: int = Field(0, ge=0, le=512, description="vllm: highest rank of an adapter; 0: `w.rank`")
    url: EndpointAddress = Field(
        "", validate_default=True, description="server: base of the endpoint, such as http://host:8000/v1"
    )
    served_as: str = Field("", description="server: name of the model at the endpoint; empty: the model's id")
    key_variable: KeyVariable = Field(
        "", description="server: environment variable that holds the key; never the key itself"
    )
    protocol: Literal["tokens", "chat"] = Field(
        "tokens", description="server: token ids to vLLM's `/completions`, or messages to any `/chat/completions`"
    )
    concurrency: int = Field(64, ge=1, description="server: concurrent requests")
    timeout: float = Field(120.0, gt=0.0, description="server: seconds to wait for one answer")
    retries: int = Field(5, ge=0, description="server: tries after the first, each after a longer wait")

    @field_validator("url")
    @classmethod
    def _needed(cls, url: str, info: ValidationInfo) -> str:
        if info.data.get("kind") == "server" and not url.startswith(("http://", "https://")):
            raise ValueError("`kind: server` needs the endpoint's base, such as http://host:8000/v1")
        return url


class TeacherConfig(Section):
    """Another LM that runs the program for `bootstrap`; `teacher.engine.*` has the keys of `engine.*`."""

    model: str = Field("", description="its folder, Hugging Face id, or name at an endpoint; empty: no teacher")
    engine: EngineConfig = EngineConfig()

"""A server that speaks the OpenAI protocol as vLLM does, over a plain transformers model, with faults on demand."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTEXT = 512
MAX_RANK = 8


def _chat(content: str | None, reason: str | None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": reason}], "usage": {"completion_tokens": 7}}


#: Bodies with status 200 that hold no answer, or a part of one.
NO_ANSWERS: dict[str, Any] = {
    "no choices": {"choices": []},
    "error body": {"error": {"message": "the model is overloaded"}},
    "filtered": _chat("", "content_filter"),
    "null": _chat(None, "stop"),
    "length": _chat('{"answer": "re', "length"),
    "no reason": _chat("red", None),
    "broken off": _chat('{"answer": "re', "abort"),
    "failed": _chat("re", "error"),
    "broken off tokens": {"choices": [{"text": "", "token_ids": [5], "finish_reason": "abort"}]},
    "NaN": {"choices": [{"text": "", "logprobs": {"top_logprobs": [{"token_id:1": float("nan")}]}}]},
    "strange token": {"choices": [{"text": "", "token_ids": [5, 10**6]}]},
}


@dataclass
class Served:
    """The server's state. Each POST uses up one of `faults`; `asked` holds (path, body, headers) of every POST."""

    folder: Path
    url: str = ""
    faults: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    models: dict[str, Any] = field(default_factory=dict)
    chat: Callable[[dict[str, Any]], str] = lambda body: "fine"
    closed_until: float = 0.0
    busy: int = 0
    most_busy: int = 0
    lock: Any = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.models["tiny"] = self.plain()
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)

    def plain(self) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)


class _Handler(BaseHTTPRequestHandler):
    served: Served

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        cards = [{"id": name, "max_model_len": CONTEXT} for name in self.served.models]
        self._answer(200, {"object": "list", "data": cards})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        served = self.served
        with served.lock:
            served.asked.append((self.path, body, dict(self.headers)))
            fault = served.faults.pop(0) if served.faults else ""
            if time.monotonic() < served.closed_until:
                fault = "busy"  # came before the Retry-After was over
            served.busy += 1
            served.most_busy = max(served.most_busy, served.busy)
        try:
            if fault == "lost":
                getattr(self, self.path.removeprefix("/v1/"))(body)
                self._fail("cut")
            elif fault:
                self._fail(fault)
            else:
                self._answer(*getattr(self, self.path.removeprefix("/v1/").replace("/", "_"))(body))
        finally:
            with served.lock:
                served.busy -= 1

    def _fail(self, fault: str) -> None:
        if fault == "slow":
            time.sleep(0.6)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"te')
        elif fault in NO_ANSWERS:
            self._answer(200, NO_ANSWERS[fault])
        elif fault == "garbage":
            self._write(200, b"<html>It works!</html>", {})
        elif fault == "busy":
            self.served.closed_until = max(self.served.closed_until, time.monotonic() + 0.9)
            self._write(429, b'{"error": {"message": "too many requests"}}', {"retry-after": "1"})
        else:
            self._answer(int(fault), {"error": {"message": f"status {fault}"}})

    def completions(self, body: dict[str, Any]) -> tuple[int, Any]:
        model = self.served.models[body["model"]]
        prompt = torch.tensor([body["prompt"]])
        wanted = body.get("logprob_token_ids")
        with torch.inference_mode():
            if wanted:
                logprobs = torch.log_softmax(model(prompt).logits[0, -1], dim=-1)
                top = {f"token_id:{token}": float(logprobs[token]) for token in wanted}
                return 200, {"choices": [{"text": "", "logprobs": {"top_logprobs": [top]}}]}
            length = {"max_new_tokens": body["max_tokens"], "eos_token_id": body["stop_token_ids"]}
            tokens = model.generate(input_ids=prompt, do_sample=False, **length)[0, prompt.shape[1] :].tolist()
        return 200, {"choices": [{"text": "", "token_ids": self._until_stop(tokens, body["stop"])}]}

    def _until_stop(self, tokens: list[int], stops: list[str]) -> list[int]:
        for count in range(1, len(tokens)):
            text = self.served.tokenizer.decode(tokens[:count])
            if any(stop in text for stop in stops):
                return tokens[:count]
        return tokens

    def chat_completions(self, body: dict[str, Any]) -> tuple[int, Any]:
        words = sum(len(message["content"].split()) for message in body["messages"])
        if words + body["max_tokens"] > CONTEXT:
            message = f"This model's maximum context length is {CONTEXT} tokens, but {words} came."
            return 400, {"error": {"message": message, "code": "context_length_exceeded"}}
        usage = {"prompt_tokens": words, "completion_tokens": 1}
        return 200, {"choices": _chat(self.served.chat(body), "stop")["choices"], "usage": usage}

    def load_lora_adapter(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body["lora_name"] in self.served.models:
            message = f"The lora adapter '{body['lora_name']}' has already been loaded."
            return 400, {"object": "error", "message": message, "type": "InvalidUserInput", "code": 400}
        config = json.loads((Path(body["lora_path"]) / "adapter_config.json").read_text())
        if config["r"] > MAX_RANK:
            message = f"LoRA rank {config['r']} is greater than max_lora_rank {MAX_RANK}."
            return 500, {"error": {"message": message}}
        self.served.models[body["lora_name"]] = PeftModel.from_pretrained(self.served.plain(), body["lora_path"])
        return 200, "Success"

    def unload_lora_adapter(self, body: dict[str, Any]) -> tuple[int, Any]:
        del self.served.models[body["lora_name"]]
        return 200, "Success"

    def _answer(self, status: int, value: Any) -> None:
        self._write(status, json.dumps(value).encode(), {"content-type": "application/json"})

    def _write(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def openai_server(folder: Path) -> Iterator[Served]:
    """Serve the model in the folder under the name `tiny`, on a free port of this machine."""
    served = Served(folder)
    handler = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

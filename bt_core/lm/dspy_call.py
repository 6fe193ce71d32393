"""Translate an LM call of DSPy: its request into our messages, and our completion into its response."""

from dspy.lm15 import Message as DspyMessage
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse
from dspy.lm15 import Usage as DspyUsage

from bt_core.engine.base import Completion, Message


def messages_of(request: DspyRequest) -> tuple[Message, ...]:
    """The texts of the request, the system message first; parts that are not text are left out."""
    messages = tuple(Message(message.role, message.text or "") for message in request.messages)
    if request.system is None:
        return messages
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system)
    return (Message("system", system), *messages)


def response_to(request: DspyRequest, completion: Completion) -> DspyResponse:
    """The completion as DSPy's response to the request."""
    usage = DspyUsage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens)
    message = DspyMessage.assistant(completion.text or " ")  # DSPy refuses an empty part
    return DspyResponse(id=None, model=request.model, message=message, finish_reason="stop", usage=usage)

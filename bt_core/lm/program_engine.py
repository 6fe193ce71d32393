"""The LM of a bound program: turns a call of DSPy into a request of ours, and the completion into DSPy's response."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from dspy.lm15 import ContextLengthError, ServerError, TextPart
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse

from bt_core.engine.base import Completion, Request
from bt_core.errors import ProgramError
from bt_core.lm.dspy_call import InCoroutines, messages_of, response_to, sampling_of
from bt_core.lm.recording import Exchange, Recording

Submit = Callable[[Request], Completion]
"""Sends a request and waits for its answer."""
Refuse = Callable[[ProgramError], None]
"""Is called with the reason why a call cannot be served."""

#: Added to the seed when one example repeats the same sampled request (`dspy.BestOfN`, self-consistency).
SEED_STEP = 1_000_003


class ProgramEngine:
    """A DSPy engine (`complete(Request) -> Response`) for all predictors of one bound program.

    Args:
        templates: predictor -> its request without the messages.
        free: the template for calls that no predictor of the program made: base weights, free text.
        submit: sends a request and waits for its answer.
        refuse: called with the reason why a call cannot be served. Raising it is not enough, since DSPy wraps errors
            and the program may swallow them.
    """

    def __init__(self, templates: Mapping[str, Request], free: Request, submit: Submit, refuse: Refuse) -> None:
        self.templates, self.free, self.submit, self._refuse = templates, free, submit, refuse
        self.in_coroutines = InCoroutines(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ProgramEngine":
        return self  # DSPy copies LMs; there is one engine

    def complete(self, request: DspyRequest) -> DspyResponse:
        """Answer a call, and note it in the recording of the example that made it."""
        recording = Recording.here()
        if recording is None:
            self.refuse(
                "The program calls a module from a thread that it started by itself, or under callbacks of its own,"
                " where calls cannot be traced: use `dspy.Parallel`, or start the thread with"
                " `contextvars.copy_context().run`."
            )
        exchange = recording.exchange()
        own_request = self._translate(request, exchange)
        if own_request.sampling.temperature:
            repeats = recording.repeats((exchange.predictor if exchange else "", own_request))
            seed = own_request.sampling.seed + SEED_STEP * repeats
            own_request = replace(own_request, sampling=replace(own_request.sampling, seed=seed))
        completion = self.submit(own_request)
        if exchange is not None:
            exchange.answers.append((own_request, completion))
        if completion.error is not None:
            raise (ServerError if completion.ended else ContextLengthError)(completion.error)
        return response_to(request, completion)

    def stream(self, request: DspyRequest) -> NoReturn:
        self.refuse("The program streams, which cannot be optimised: call its modules plainly.")

    def close(self) -> None:
        """Do nothing: the engine holds nothing."""

    def refuse(self, sentence: str) -> NoReturn:
        """Report that the program cannot be optimised.

        Raises:
            ProgramError: always.
        """
        error = ProgramError(sentence)
        self._refuse(error)
        raise error

    def _translate(self, request: DspyRequest, exchange: Exchange | None) -> Request:
        self._check_text(request)
        template = self.templates.get(exchange.predictor, self.free) if exchange else self.free
        return replace(template, messages=messages_of(request), sampling=sampling_of(request, template))

    def _check_text(self, request: DspyRequest) -> None:
        media = [part for message in request.messages for part in message.parts if not isinstance(part, TextPart)]
        if media:
            self.refuse(f"The program's prompt holds a {type(media[0]).__name__}, but the engine reads text alone.")

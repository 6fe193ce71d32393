"""Fine-tuning rows from traces: each call under the prompt that the fine-tuned program will have."""

from collections.abc import Mapping, Sequence

from bt_core.engine.base import Message, TrainingRow
from bt_core.lm.modules import adapter_of, predictors_of
from bt_core.lm.values import typed
from bt_core.program import PredictorState
from bt_core.records import Trace
from bt_core.task import Task


def training_rows(
    task: Task, prompts: Mapping[str, PredictorState], traces: Sequence[Trace]
) -> list[tuple[str, TrainingRow]]:
    """Turn every call of the traces into (predictor, row).

    A call belongs to the predictor that made it, by name: a predictor that is called twice in a trace gives two rows.
    Calls of predictors that the program does not have (in traces made elsewhere) are left out.
    """
    adapter = adapter_of(task)
    signatures = {
        name: predictor.signature.with_instructions(prompts[name].instructions)
        for name, predictor in predictors_of(task.program()).items()
    }
    rows = []
    for call in (call for trace in traces for call in trace.calls if call.predictor in signatures):
        signature = signatures[call.predictor]
        demos = [typed(signature, demo) for demo in prompts[call.predictor].demos]
        messages = adapter.format(signature, demos, typed(signature, call.inputs))
        completion = adapter.format_assistant_message_content(signature, typed(signature, call.outputs)).rstrip()
        prompt = tuple(Message(message["role"], message["content"]) for message in messages)
        rows.append((call.predictor, TrainingRow(prompt, completion)))
    return rows

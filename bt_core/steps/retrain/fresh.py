"""Fresh: the rows of a retraining. Reads data that grows, keeps the law of row_roles.py, and may end the run early."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.data import SPLITS, Splits
from bt_core.engine.base import Engine
from bt_core.program import read_program, write_program
from bt_core.records import Row, StageReport, canonical_json, sha256_text, write_jsonl
from bt_core.steps.prepare import prepare
from bt_core.steps.retrain.row_files import Chunk, read_chunks
from bt_core.steps.retrain.row_roles import SEALED, TEST, TRAIN, VAL, Ledger, row_digest
from bt_core.task import Task, load_task

#: What lies in the folder of rows that the drift report and the ledger read.
NEW, EARLIER, ROLES = "new.jsonl", "earlier.jsonl", "roles.json"
#: Params of the report: why the run ends here (empty: it goes on), and a digest of the data.
REASON, DATA_DIGEST = "reason", "data"
#: How a program's lineage calls the champion that it started from.
CHAMPION = "champion"


@dataclass(frozen=True)
class Deal:
    """How the rows were dealt out.

    `new` and `earlier` are the rows that may be learnt from, by whether a concluded run has read them. `roles` hold
    every row's by its digest; `reason` says why there is nothing to do, if so.
    """

    splits: Splits
    new: list[Row]
    earlier: list[Row]
    roles: dict[str, str]
    unseen: int
    reason: str = ""


def fresh(
    overrides: Mapping[str, Any],
    ledger: Ledger,
    champion: Path | None,
    splits: Mapping[str, Path],
    program: Path,
    rows: Path,
    engine: Engine | None = None,
) -> tuple[Config, StageReport]:
    """Read the data, deal it out, and write what the run starts from.

    Args:
        overrides: the user's settings; `data` names a folder, an S3 prefix or anything else that a run reads.
        ledger: what earlier runs did with the rows.
        champion: the champion's program directory; None where there is none.
        splits: `train`, `val`, `test` -> JSONL file to write; empty where the run ends here.
        program: directory to write the program to that is optimised: the champion's or the vanilla one.
        rows: folder to write: `NEW`, `EARLIER` and `ROLES`.
        engine: one that is already loaded; else the base model is loaded if it is needed.

    Raises:
        ConfigError, TaskError, DataError, ModelError: when any of it is wrong, or there are no data at all.
        WorldError: when S3 cannot be reached.
    """
    started = time.time()
    first = resolve_config(overrides)
    task = load_task(first.task, first.task_settings)
    config = resolve_config(task.config, overrides)
    dealt = deal(task, read_chunks(task, config), ledger, config)
    rows.mkdir(parents=True, exist_ok=True)
    write_jsonl(rows / NEW, dealt.new)
    write_jsonl(rows / EARLIER, dealt.earlier)
    (rows / ROLES).write_text(canonical_json(dealt.roles), encoding="utf-8")
    config, report = _prepared(overrides, config, dealt, champion, splits, program, engine)
    digest = sha256_text(canonical_json(sorted(dealt.roles)))[:16]
    counts = {"rows/all": len(dealt.roles), "rows/new": dealt.unseen}
    counts |= {f"rows/{name}": len(dealt.splits[name]) for name in SPLITS}
    return config, replace(
        report,
        stage="fresh",
        kind="fresh",
        params=report.params | {REASON: dealt.reason, DATA_DIGEST: digest},
        metrics={name: float(count) for name, count in counts.items()},
        note=f"Stopped early: {dealt.reason}" if dealt.reason else report.note,
        started=started,
        ended=time.time(),
    )


def deal(task: Task, chunks: Sequence[Chunk], ledger: Ledger, config: Config) -> Deal:
    """Give every row its role and take the newest rows of each, up to `rows`."""
    rows: dict[str, tuple[str, Row]] = {}
    for name, chunk in chunks:
        for row in chunk:
            digest = row_digest(row, task.inputs)
            rows.pop(digest, None)  # the newest of several alike, at its place
            rows[digest] = (name, row)
    retire = config.retrain.retire
    roles = {
        digest: ledger.role(digest, config.rows, retired=bool(retire) and name <= retire)
        for digest, (name, _) in rows.items()
    }
    newest = list(reversed(rows))
    taken = {
        role: [digest for digest in newest if roles[digest] == role and not (role == TEST and ledger.is_spent(digest))][
            : getattr(config.rows, role)
        ]
        for role in SPLITS
    }
    compared_on = set(taken[TEST])
    new = [digest for digest in rows if ledger.is_new(digest)]
    learnable = [digest for digest in rows if roles[digest] != TEST]
    return Deal(
        splits={role: [rows[digest][1] for digest in digests] for role, digests in taken.items()},
        new=[rows[digest][1] for digest in learnable if ledger.is_new(digest)],
        earlier=[rows[digest][1] for digest in learnable if not ledger.is_new(digest)],
        roles={
            digest: SEALED if role == TEST and digest not in compared_on else role for digest, role in roles.items()
        },
        unseen=len(new),
        reason=_reason(len(rows), len(new), {role: len(digests) for role, digests in taken.items()}, config),
    )


def _reason(total: int, new: int, taken: Mapping[str, int], config: Config) -> str:
    """Why there is nothing to do; empty to go on."""
    wanted = config.retrain
    if not new:
        return f"nothing changed, earlier runs have seen all {total} rows."
    if new < wanted.min_new:
        return f"too little is new, {new} of {total} rows and `retrain.min_new` is {wanted.min_new}."
    if taken[TEST] < wanted.min_test:
        return (
            f"there are {taken[TEST]} fresh sealed rows to compare on and `retrain.min_test` is {wanted.min_test}"
            f" ({new} of {total} rows are new)."
        )
    empty = [role for role in (TRAIN, VAL) if not taken[role]]
    return f"no row of {total} fell into the {empty[0]} split." if empty else ""


def _prepared(
    overrides: Mapping[str, Any],
    config: Config,
    dealt: Deal,
    champion: Path | None,
    splits: Mapping[str, Path],
    program: Path,
    engine: Engine | None,
) -> tuple[Config, StageReport]:
    """`prepare` on the rows that were dealt out, from the champion if that is wanted."""
    if dealt.reason:
        _write_nothing(splits, program)
        return config, StageReport("fresh", "fresh")
    goes_on = champion is not None and config.retrain.start == CHAMPION
    sizes = {role: len(rows) for role, rows in dealt.splits.items()}
    # The rows have the task's column names by now.
    there = {"rows": sizes, "columns": {own: own for own in config.columns}}
    with tempfile.TemporaryDirectory() as folder:
        for role, rows in dealt.splits.items():
            write_jsonl(Path(folder, f"{role}.jsonl"), rows)
        begun = {"data": folder} | ({"start": str(champion)} if goes_on else {})
        paths = splits[TRAIN], splits[VAL], splits[TEST], program
        prepared, report = prepare(merge(overrides, there, begun), *paths, engine)
    if champion is not None and goes_on:
        _name_start(program, champion)
        report = replace(report, params=report.params | {"start": CHAMPION})
    return prepared.model_copy(update={name: getattr(config, name) for name in ("data", "columns", "start")}), report


def _name_start(program: Path, champion: Path) -> None:
    """Call the start what it is: where the champion lay in this run is no part of a program."""
    state = read_program(program)
    start = replace(state.lineage[-1], config={"start": CHAMPION})
    adapters = {path: champion / path for path in state.adapters}
    write_program(replace(state, lineage=(*state.lineage[:-1], start)), program, adapters)


def _write_nothing(splits: Mapping[str, Path], program: Path) -> None:
    """Kubeflow wants something at every output."""
    for path in splits.values():
        write_jsonl(path, [])
    program.mkdir(parents=True, exist_ok=True)

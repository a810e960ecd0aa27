"""The table of what can be wrong in the store: each kind with its sentence, how it is found, and how it is mended.

Kinds are the label of the metric `cadmill_ledger_inconsistencies`: they are never renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from ledger.files import FileStore
from ledger.inspection import disk, jobs, mending
from ledger.inspection.findings import Finding, Patience
from ledger.session import Ledger, Tx

JobQuestion = Callable[[Tx, Sequence[str], Patience], Iterator[Finding]]
JobRepair = Callable[[Tx, Row[Any], Finding, Patience], bool]
RowRepair = Callable[[Tx, Finding], bool]
DiskRepair = Callable[[Ledger, FileStore, Finding, Patience], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """`sentence` says what is wrong, in the words of a finding; `remedy` what --fix does or, without a repair, what a person should do."""

    kind: str
    sentence: str
    remedy: str
    find: JobQuestion | None = None
    mend_job: JobRepair | None = None
    mend_row: RowRepair | None = None
    mend_disk: DiskRepair | None = None

    @property
    def mends(self) -> bool:
        return bool(self.mend_job or self.mend_row or self.mend_disk)


def _again_in_the_trail(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    return jobs.ends_in_the_trail(tx, ids)


# In the order in which they are mended: what later repairs stand on comes first.
_JOB_RULES = (
    Rule("chunk_numbers", "The job {subject} says it has {chunks_made} chunks, but a number up to {used} is taken.",
         "--fix raises the number.", jobs.chunk_numbers, mending.number_chunks),
    Rule("items_missing", "The job {subject} was accepted with {total} items, but {found} are in the table.",
         "Rows were removed by hand: restore the table `items` from a backup, or submit these inputs again.", jobs.census),
    Rule("counters_differ", "The job {subject} counts succeeded, failed, cancelled as {told}, its items say {true}.",
         "--fix counts its items anew.", jobs.census, mending.count_anew),
    Rule("live_chunk_of_ended_job", "The chunk {subject} is {state}, but its job has ended {job_state}.",
         "--fix cancels the chunk.", jobs.chunks_of_ended_jobs, mending.cancel_chunk),
    Rule("open_items_of_ended_job", "The job {subject} ended {state} and has {pending} items without an end.",
         "--fix ends them (cancelled with a cancelled job, else ITEM_STRANDED). Then retry the job, or submit them again.",
         jobs.census, mending.end_items),
    Rule("items_without_chunk", "{items} items of the job {job_id} wait for the chunk {subject}, which will never run.",
         "--fix puts them into a new chunk.", jobs.items_without_chunk, mending.give_chunk),
    Rule("chunk_without_items", "The chunk {subject} is {state}, but has no item left to do.",
         "--fix cancels the chunk.", jobs.chunks_without_items, mending.cancel_chunk),
    Rule("lease_ended", "The chunk {subject} is running without a lease, or its lease ended long ago and nobody rescued it.",
         "--fix rescues it. See whether upkeep runs: the API and the courier do it.", jobs.leases, mending.rescue),
    Rule("held_for_nothing", "{chunks} chunks of the job {subject} wait for a place, but all places are free.",
         "--fix lets them up.", jobs.held_for_nothing, mending.let_up),
    Rule("never_closed", "The job {subject} is {state}, but all its items have ended.",
         "--fix ends the job and owes its webhook.", jobs.census, mending.close),
    Rule("webhook_not_owed", "The job {subject} ended {state} and asked for a webhook, but none is owed.",
         "--fix owes it; the courier sends it.", jobs.webhooks_not_owed, mending.owe_webhook),
    Rule("webhook_of_no_end", "The job {subject} has {told} webhooks, but has ended {ends} times.",
         "--fix withdraws those not sent yet. One that was sent: tell its receiver what GET /jobs/ID says.",
         jobs.webhooks_of_no_end, mending.withdraw_webhook),
    Rule("delivery_stuck", "The delivery {subject} is being sent by nobody: its lease ended long ago, or it has none.",
         "--fix makes it due again.", jobs.deliveries_stuck, mending.send_again),
    Rule("end_not_told", "The job {subject} has ended {ends} times, but the audit trail tells {told} of them.",
         "--fix appends the missing line, marked late.", _again_in_the_trail, mending.tell_end),
    Rule("end_told_twice", "The audit trail tells {told} ends of the job {subject}, which has ended {ends} times.",
         "The trail cannot be changed. Report it: no verb of the ledger ends a job twice.", _again_in_the_trail),
)  # fmt: skip

_OTHER_RULES = (
    Rule("done_twice", "The chunk {subject} was committed {times} times, by the audit trail.",
         "The trail cannot be changed. Report it: the fencing token should have refused the second."),
    Rule("key_of_no_job", "The Idempotency-Key {subject} is tied to the job {job_id}, which does not exist.",
         "--fix forgets the key.", mend_row=mending.forget_key),
    Rule("vector_of_no_part", "There is a vector of the file {subject}, which no part of its tenant has ever named.",
         "--fix removes the vector.", mend_row=mending.forget_vector),
    Rule("file_missing", "The bytes of the file {subject} are gone; parts name it.",
         "Upload the file again, whoever has it (any name will do), or restore the folder `files` from a backup."),
    Rule("file_damaged", "The bytes of the file {subject} are not what was stored ({found} bytes found, {bytes} expected).",
         "--fix moves them to files/damaged. Then upload the file again.", mend_disk=disk.set_aside),
    Rule("file_unnamed", "The file {subject} lies on disk for more than a day, and no row names it.",
         "--fix puts it aside; a day later it is gone.", mend_disk=disk.remove_file),
    Rule("preview_of_no_file", "The preview {subject} belongs to no known file.",
         "--fix removes it.", mend_disk=disk.remove_preview),
    Rule("ring_lost", "The {what} {subject} was rung long ago, is still waiting, and the broker holds no ring for it.",
         "--fix lets upkeep ring again. See whether upkeep runs.", mend_row=mending.ring_anew),
    Rule("ring_of_nothing", "The broker holds a ring for {subject}, which does not exist.",
         "--fix removes it. It is harmless: a worker would drop it."),
)  # fmt: skip

RULES: dict[str, Rule] = {rule.kind: rule for rule in (*_JOB_RULES, *_OTHER_RULES)}
JOB_QUESTIONS: tuple[JobQuestion, ...] = tuple(
    dict.fromkeys(rule.find for rule in _JOB_RULES if rule.find not in (None, _again_in_the_trail))
)


def sentence(finding: Finding) -> str:
    rule = RULES[finding.kind]
    return rule.sentence.format(subject=finding.subject, job_id=finding.job_id, **finding.detail)

"""Every failure a user can see: `Failure` and the one table of codes.

A code is never renumbered or reused. The table says who caused it, how bad it is, whether asking again can help,
which HTTP status it wears, what was wrong (public sentence) and what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Source(StrEnum):
    INPUT = "input"
    CONFIG = "config"
    NETWORK = "network"
    RESOURCE = "resource"
    SECURITY = "security"
    SYSTEM = "system"
    PROVIDER = "provider"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Stage(StrEnum):
    """Where on the straight line it happened."""

    AUTH = "auth"
    UPLOAD = "upload"
    SUBMIT = "submit"
    QUEUE = "queue"
    READ = "read"
    FEATURES = "features"
    SEARCH = "search"
    STORE = "store"
    DELIVER = "deliver"
    REQUEST = "request"
    START = "start"


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table."""

    name: str
    source: Source
    severity: Severity
    stage: Stage
    status: int
    retryable: bool
    sentence: str
    remedy: str


def _rows(*rows: Code) -> dict[str, Code]:
    return {row.name: row for row in rows}


_I, _W, _E, _C = Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.CRITICAL

# fmt: off
CODES: dict[str, Code] = _rows(
    # who asks
    Code("API_KEY_MISSING", Source.SECURITY, _W, Stage.AUTH, 401, False,
         "The request names no API key.", "Send your key in the X-API-Key header."),
    Code("API_KEY_UNKNOWN", Source.SECURITY, _W, Stage.AUTH, 401, False,
         "The API key is not known here.", "Check the key for typing errors, or ask your administrator for a new one."),
    Code("API_KEY_EXPIRED", Source.SECURITY, _W, Stage.AUTH, 401, False,
         "The API key has expired, or the overlap after its rotation is over.",
         "Use its successor, or have a new one made: POST /api/v1/keys or `cadmill keys create`, with a key of the scope admin."),
    Code("SCOPE_MISSING", Source.SECURITY, _W, Stage.AUTH, 403, False,
         "The API key may not do this.",
         "Use a key with the scopes that the context names; a key of the scope admin makes one (`cadmill keys create --scope`)."),
    Code("TENANT_DISABLED", Source.SECURITY, _W, Stage.AUTH, 403, False,
         "This tenant has been disabled.", "Ask whoever runs this server to enable it (`cadmill tenants enable NAME`)."),
    Code("SESSION_ENDED", Source.SECURITY, _I, Stage.AUTH, 401, False,
         "You are signed out.", "Sign in with your API key."),
    Code("FORM_FORGED", Source.SECURITY, _W, Stage.AUTH, 403, False,
         "This form is not one that this server gave you, or you have signed in or out since.",
         "Go back, load the page anew, and send it once more."),
    Code("ADMIN_TOKEN_UNSET", Source.CONFIG, _W, Stage.AUTH, 403, False,
         "This server has no admin token, so nobody may ask for this.",
         "Set ADMIN_TOKEN in the environment of the API to a long random text, start it anew, and send that in X-Admin-Token."),
    Code("ADMIN_TOKEN_MISSING", Source.SECURITY, _W, Stage.AUTH, 401, False,
         "The request names no admin token.", "Send the ADMIN_TOKEN of the server in the X-Admin-Token header, beside X-API-Key."),
    Code("ADMIN_TOKEN_UNKNOWN", Source.SECURITY, _W, Stage.AUTH, 403, False,
         "The admin token is not the one of this server.", "Check it for typing errors; it is ADMIN_TOKEN in the API's environment."),
    Code("RATE_LIMITED", Source.RESOURCE, _W, Stage.AUTH, 429, True,
         "Too much was asked in too little time.",
         "Wait as long as the Retry-After header says. The context names the limit, the RateLimit headers what is left of yours; "
         "an administrator can raise it (CADMILL_LIMIT_*)."),
    Code("SECRET_MISMATCH", Source.CONFIG, _C, Stage.STORE, 500, False,
         "Something was sealed with another secret than this server has.",
         "Start every process with the CADMILL_SECRET (or the file secret in the storage folder) that it was sealed with."),
    Code("KEY_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No key with this id belongs to this tenant.", "List the keys with GET /api/v1/keys."),
    Code("KEY_ENDED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The key was revoked, has expired, or has a successor already.", "Make a new one with POST /api/v1/keys (`cadmill keys create`)."),
    Code("TENANT_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "There is no tenant with this id.", "List the tenants with GET /api/v1/tenants."),
    Code("TENANT_NAME_TAKEN", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "There is a tenant of this name already.", "Choose another name, or use the tenant that is there."),
    Code("TENANT_ROLE_MISSING", Source.CONFIG, _C, Stage.START, 500, False,
         "The database role behind which tenants are kept apart is not there, and this server may not make it.",
         "Run the statements of the context once as an administrator of the database."),
    Code("QUOTA_EXCEEDED", Source.RESOURCE, _W, Stage.SUBMIT, 409, False,
         "This would be more than your quota allows.",
         "Delete parts, or wait until jobs have ended; GET /api/v1/usage (`cadmill usage`) shows what is used. "
         "Whoever runs this server can raise a quota (`cadmill tenants quota`)."),
    Code("ANCHORS_UNREADABLE", Source.CONFIG, _E, Stage.STORE, 500, False,
         "The anchors of the audit trail cannot be read, so nobody can tell whether its end was cut off.",
         "See that CADMILL_AUDIT_ANCHOR_FILE is there and belongs to the user cadmill runs as."),
    Code("EXPORT_INVALID", Source.INPUT, _W, Stage.REQUEST, 422, False,
         "The file is not an export of the audit trail.",
         "Take what `cadmill audit export` or CADMILL_AUDIT_FILE wrote, whole and unchanged; a damaged line proves nothing."),
    # what is asked
    Code("REQUEST_INVALID", Source.INPUT, _W, Stage.REQUEST, 422, False,
         "The request does not have the expected form.", "Correct the fields named in the context; /docs shows the form."),
    Code("VERSION_UNKNOWN", Source.INPUT, _W, Stage.REQUEST, 400, False,
         "There is no such version of the API.",
         "Use one of the context, in the path or in X-API-Version; GET /api/versions tells of each."),
    Code("VERSION_CONTRADICTED", Source.INPUT, _W, Stage.REQUEST, 400, False,
         "The path names one version of the API and the header X-API-Version another.",
         "Name it in one place; without both you get the current one."),
    Code("VERSION_SUNSET", Source.INPUT, _W, Stage.REQUEST, 410, False,
         "This version of the API has ended.", "Use the current one; GET /api/versions and the CHANGELOG tell what differs."),
    Code("ROUTE_NOT_FOUND", Source.INPUT, _I, Stage.REQUEST, 404, False,
         "There is nothing at this address.", "See /docs for the addresses this server answers."),
    Code("METHOD_NOT_ALLOWED", Source.INPUT, _I, Stage.REQUEST, 405, False,
         "This address does not answer that method.", "See /docs for the methods of each address."),
    Code("CURSOR_INVALID", Source.INPUT, _W, Stage.REQUEST, 400, False,
         "The cursor is not one this list gave out.", "Take next_cursor from the last page as it is, or start without a cursor."),
    Code("BODY_TOO_LARGE", Source.RESOURCE, _W, Stage.UPLOAD, 413, False,
         "The request is larger than this server accepts.", "Send fewer or smaller files in one request."),
    Code("UPLOAD_INVALID", Source.INPUT, _W, Stage.UPLOAD, 400, False,
         "The upload could not be read as files.", "Send multipart/form-data with fields named 'files', or one raw body with ?name=."),
    Code("FILE_TOO_LARGE", Source.RESOURCE, _W, Stage.UPLOAD, 413, False,
         "The file is larger than this server accepts.", "Split the file, or have CADMILL_UPLOAD_MAX_FILE_BYTES raised."),
    Code("STORAGE_FULL", Source.RESOURCE, _C, Stage.STORE, 507, True,
         "There is no room left to store the file.", "Free space on the storage volume, then send the file again."),
    Code("PART_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No part with this id belongs to you.", "List your parts with GET /api/v1/parts."),
    Code("PREVIEW_NOT_FOUND", Source.INPUT, _I, Stage.REQUEST, 404, False,
         "There is no preview of this part.", "Run an extraction job for the part with \"previews\": true. Some files cannot be drawn."),
    Code("REVIEW_NOT_FOUND", Source.INPUT, _I, Stage.REQUEST, 404, False,
         "You have not marked this pair.", "List your marks with GET /api/v1/reviews."),
    Code("QUEUE_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "There is no queue of this name.", "List the queues with GET /api/v1/queues."),
    Code("QUEUE_PAUSED", Source.INPUT, _W, Stage.QUEUE, 409, False,
         "The queue is paused already.", "Nothing more to do; let it go on with POST /api/v1/queues/{name}/resume."),
    Code("QUEUE_NOT_PAUSED", Source.INPUT, _W, Stage.QUEUE, 409, False,
         "The queue is not paused.", "Nothing to do: it is being served."),
    Code("JOB_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No job with this id belongs to you.", "List your jobs with GET /api/v1/jobs."),
    Code("JOB_FINISHED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The job has already ended; an ended job stays as it is.", "Submit a new job, or retry the failed items."),
    Code("JOB_NOT_RETRYABLE", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "Only a job that ended failed or partial can be retried.", "Wait for the job to end, or submit a new one."),
    Code("JOB_PAUSED", Source.INPUT, _W, Stage.QUEUE, 409, False,
         "The job is paused already.", "Nothing more to do; let it go on with POST /api/v1/jobs/{id}/resume."),
    Code("JOB_NOT_PAUSED", Source.INPUT, _W, Stage.QUEUE, 409, False,
         "The job is not paused.", "Nothing to do: it goes on by itself."),
    Code("JOB_NOT_ENDED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The job has not ended yet.", "Wait for its end, or cancel it: what it has done by then can be rolled back."),
    Code("JOB_NOT_MIGRATION", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "Only a migration can be rolled back.", "Name a job of the kind migration; list them with GET /api/v1/jobs?kind=migration."),
    Code("ROLLBACK_CONFLICT", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "Other jobs have written vectors of this migration since, so it was not rolled back.",
         "Roll those jobs of the context back first that are migrations, or say keep_changed=true (`cadmill rollback ID --keep-changed`): "
         "what they wrote stays, all else is put back."),
    Code("ROLLBACK_EXPIRED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The migration ended too long ago; what it replaced is not kept any more.",
         "Migrate again to the version you want; CADMILL_RETENTION_ROLLBACK_DAYS says how long a migration can be rolled back."),
    Code("JOB_CANCELLED", Source.INPUT, _I, Stage.QUEUE, 409, False,
         "The job was cancelled before this item was done.", "Submit the item again if it is still wanted."),
    Code("JOB_DEADLINE_PASSED", Source.INPUT, _W, Stage.QUEUE, 504, False,
         "The deadline of the job passed before this item was done.",
         "Retry the job, which drops the deadline, or submit one with a later one."),
    Code("JOB_WITHOUT_HITS", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "Only a similarity job has pairs and clusters.", "Name a similarity job; list them with GET /api/v1/jobs?kind=similarity."),
    Code("RESULTS_PRUNED", Source.INPUT, _I, Stage.REQUEST, 410, False,
         "The results of this job were let go: they are kept for CADMILL_RETENTION_RESULT_DAYS.", "Submit the job again."),
    Code("DUPLICATES_UNSEARCHED", Source.INPUT, _I, Stage.REQUEST, 404, False,
         "Your parts have not been compared with each other yet, or the results of that are gone.",
         "Run `cadmill duplicates`, or POST the job in the context to /api/v1/jobs and ask again when it has ended."),
    Code("QUARANTINE_NOT_FOUND", Source.INPUT, _I, Stage.REQUEST, 404, False,
         "No file of yours with this hash is in quarantine.", "List them with GET /api/v1/quarantine; a quarantine ends by itself."),
    Code("IDEMPOTENCY_KEY_INVALID", Source.INPUT, _W, Stage.SUBMIT, 400, False,
         "The Idempotency-Key must be 1 to 255 printable characters.", "Send a UUID, for example."),
    Code("IDEMPOTENCY_KEY_REUSED", Source.INPUT, _W, Stage.SUBMIT, 422, False,
         "This Idempotency-Key was used before with another request body.", "Use a new key for a new request."),
    Code("IDEMPOTENCY_KEY_IN_FLIGHT", Source.INPUT, _W, Stage.SUBMIT, 409, True,
         "A request with this Idempotency-Key is being handled right now.", "Ask again in a moment with the same key and body."),
    Code("WEBHOOK_URL_FORBIDDEN", Source.SECURITY, _W, Stage.SUBMIT, 422, False,
         "The callback address is not one this server may call.",
         "Give an https address of a public host; CADMILL_WEBHOOK_ALLOW_PRIVATE=1 admits private ones on a machine of your own."),
    Code("WEBHOOK_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No webhook endpoint with this id belongs to you.", "List your endpoints with GET /api/v1/webhooks."),
    Code("WEBHOOK_LIMIT", Source.RESOURCE, _W, Stage.REQUEST, 409, False,
         "You have as many webhook endpoints as this server allows.", "Delete one, or have CADMILL_WEBHOOK_MAX_PER_TENANT raised."),
    Code("WEBHOOK_OFF", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The webhook endpoint is switched off, so nothing is sent to it again.",
         "See what its receiver answered, then `cadmill webhooks enable ID --redeliver`, or POST /api/v1/webhooks/{id}/enable."),
    Code("DELIVERY_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No delivery with this id belongs to you.", "List them with GET /api/v1/webhooks/{id}/deliveries or /jobs/{id}/deliveries."),
    Code("KIND_UNKNOWN", Source.INPUT, _W, Stage.SUBMIT, 422, False,
         "There is no such kind of job here.", "Use extraction, similarity, migration or prewarm."),
    # who listens
    Code("LIVE_ORIGIN_FORBIDDEN", Source.SECURITY, _W, Stage.AUTH, 403, False,
         "A page of another site may not listen to this server.",
         "Open the page from the server itself, or have its origin added to CADMILL_LIVE_ORIGINS."),
    Code("LIVE_CHANNEL_UNKNOWN", Source.INPUT, _W, Stage.REQUEST, 422, False,
         "There is no such channel.", "Use tenant, user, job:ID, or topic:NAME with one of the topics in the context."),
    Code("LIVE_MESSAGE_INVALID", Source.INPUT, _W, Stage.REQUEST, 422, False,
         "The message is not one this connection understands.",
         "Send a JSON object of a type in the context; docs/live.md shows their forms."),
    Code("LIVE_CROWDED", Source.RESOURCE, _W, Stage.REQUEST, 429, True,
         "So many listen already that this connection, or one more channel on it, is not taken.",
         "Close connections or channels you do not need, or come back later; CADMILL_LIVE_MAX_* says how many there may be."),
    Code("SCHEDULE_NOT_FOUND", Source.INPUT, _W, Stage.REQUEST, 404, False,
         "No schedule with this id belongs to you.", "List your schedules with GET /api/v1/schedules."),
    Code("SCHEDULE_INVALID", Source.INPUT, _W, Stage.REQUEST, 422, False,
         "The cron expression or the time zone of the schedule cannot be used.",
         "Give five fields (minute hour day month weekday) that come true some day, and a zone such as Europe/Berlin."),
    Code("SCHEDULE_NAME_TAKEN", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "You have a schedule of this name already.", "Choose another name, or change or delete the other schedule."),
    Code("SCHEDULE_LIMIT", Source.RESOURCE, _W, Stage.REQUEST, 409, False,
         "You have as many schedules as this server allows.", "Delete one, or have CADMILL_SCHEDULE_MAX_PER_TENANT raised."),
    Code("BODY_TOO_SLOW", Source.NETWORK, _W, Stage.REQUEST, 408, True,
         "The body of the request came too slowly.", "Send it again over a better connection, or in smaller requests."),
    # what an archive can be
    Code("ARCHIVE_LIMIT", Source.RESOURCE, _W, Stage.UPLOAD, 422, False,
         "The archive holds more than is unpacked here, or another archive.",
         "Send its files in several archives, or as they are; the limit named in the context can be raised (CADMILL_UPLOAD_*)."),
    Code("ARCHIVE_UNSAFE_PATH", Source.SECURITY, _W, Stage.UPLOAD, 422, False,
         "The file wants to go out of its archive, or is none: a link or a device.", "Pack the files themselves, by relative names."),
    Code("ARCHIVE_ENCRYPTED", Source.INPUT, _W, Stage.UPLOAD, 422, False,
         "The file is encrypted in its archive.", "Pack it without a password."),
    Code("ARCHIVE_CORRUPT", Source.INPUT, _W, Stage.UPLOAD, 422, False,
         "The archive is damaged, or not made as a zip archive should be.", "Pack it again, and send that."),
    # what a file can be
    Code("FILE_EMPTY", Source.INPUT, _W, Stage.READ, 422, False,
         "The file holds nothing.", "Export the file again and send that."),
    Code("FORMAT_MISMATCH", Source.INPUT, _W, Stage.READ, 422, False,
         "The content is not what the name says.", "Export the file again from your CAD system, or give it its true name."),
    Code("FORMAT_UNSUPPORTED", Source.INPUT, _W, Stage.READ, 422, False,
         "The format of this file is not one cadmill reads.", "Save it as DXF, STL, STEP or IGES."),
    Code("ENCODING_UNSUPPORTED", Source.INPUT, _W, Stage.READ, 422, False,
         "The text encoding of this file is not one cadmill reads.", "Save it as UTF-8 or with an ANSI code page."),
    Code("FILE_CORRUPT", Source.INPUT, _W, Stage.READ, 422, False,
         "The file is damaged: it cannot be read as what it claims to be.",
         "Open and save it again in your CAD system, or send an intact copy."),
    Code("GEOMETRY_MISSING", Source.INPUT, _W, Stage.READ, 422, False,
         "The file can be read, but holds no geometry to compute features from.",
         "Check that the drawing or body was exported with the file."),
    Code("GEOMETRY_INVALID", Source.INPUT, _W, Stage.READ, 422, False,
         "The geometry makes no sense: numbers are not finite, overflow, or have no extent.", "Check units and scale, and export again."),
    Code("CAD_EXPANSION_LIMIT", Source.RESOURCE, _W, Stage.READ, 422, False,
         "The block references of this file expand to more entities than allowed.",
         "Explode or purge blocks, or have CADMILL_CAD_MAX_ENTITIES raised."),
    Code("CAD_CYCLIC_REFERENCE", Source.INPUT, _W, Stage.READ, 422, False,
         "A block of this file contains itself.", "Audit the drawing in your CAD system and save it again."),
    Code("CAD_LIMIT", Source.RESOURCE, _W, Stage.READ, 422, False,
         "The file is larger than the engine's limits.", "Split the file, or have the CADMILL_CAD_* limit named in the context raised."),
    # what the engine can do
    Code("CAD_KERNEL_MISSING", Source.CONFIG, _E, Stage.READ, 503, False,
         "This machine has no geometry kernel (Open CASCADE), so it reads no STEP or IGES file.",
         "Have `make setup` run on the worker's machine; the kernel needs the Debian packages libgl1, libx11-6 and libexpat1. "
         "Then retry the job."),
    Code("FEATURES_INCOMPLETE", Source.SYSTEM, _E, Stage.FEATURES, 422, False,
         "The file was read, but too few of its slots could be computed to make a vector of any version.",
         "The context names the slots that are missing and holds the others. Report the file; export it anew with another tolerance."),
    Code("FILE_MISSING", Source.SYSTEM, _C, Stage.READ, 500, False,
         "The stored bytes of this part are gone.", "Upload the file again; tell your administrator that storage lost it."),
    Code("ENGINE_DEFECT", Source.SYSTEM, _E, Stage.FEATURES, 500, False,
         "The engine failed on this file in a way it should not.", "Report the file; other items are not affected."),
    Code("ENGINE_CRASH", Source.SYSTEM, _E, Stage.FEATURES, 500, False,
         "The engine died while it worked on this item.", "Report the file; retry the job if the machine was at fault."),
    Code("FILE_QUARANTINED", Source.RESOURCE, _E, Stage.FEATURES, 422, False,
         "The file killed the process that reads it twice, so it is kept from the engine for a while.",
         "Export the file anew, or report it. To let it be tried again: DELETE /api/v1/quarantine/{sha256}, or "
         "`cadmill quarantine --release SHA256`; an upgrade of the engine does so too."),
    Code("ENGINE_TIMEOUT", Source.RESOURCE, _W, Stage.FEATURES, 422, False,
         "The engine did not finish this file in the time allowed.",
         "Simplify the file, or have the CADMILL_SANDBOX_* limit named in the context raised."),
    Code("MEMORY_ERROR", Source.RESOURCE, _W, Stage.FEATURES, 422, False,
         "The file needs more memory than allowed.", "Simplify the file, or have CADMILL_SANDBOX_MEMORY_BYTES raised."),
    Code("SANDBOX_UNAVAILABLE", Source.RESOURCE, _C, Stage.FEATURES, 503, True,
         "The process that reads files could not be started.", "Free memory and processes on the worker's machine, then retry the job."),
    Code("SANDBOX_WEAK", Source.CONFIG, _W, Stage.START, 500, False,
         "This machine does not build every wall around the process that reads files.",
         "Run workers on a Linux with Landlock and seccomp (5.13 or newer), or trust whoever uploads."),
    Code("DATA_NOT_FOUND", Source.INPUT, _W, Stage.SEARCH, 404, False,
         "There is no vector for this part in the wanted feature version.", "Run an extraction job for the part first."),
    Code("INDEX_FAILED", Source.SYSTEM, _E, Stage.SEARCH, 503, True,
         "The search index cannot do its work.",
         "Retry the job; if it stays, set CADMILL_INDEX_ENGINE=exact and see the reason in the context."),
    Code("PGVECTOR_MISSING", Source.CONFIG, _E, Stage.SEARCH, 500, False,
         "The database cannot search vectors: CADMILL_INDEX_ENGINE=pgvector needs PostgreSQL with the extension pgvector.",
         "Install pgvector 0.8 or newer on the database server and let its role create the extension, or choose another engine."),
    Code("RETRIES_EXHAUSTED", Source.SYSTEM, _E, Stage.QUEUE, 503, True,
         "The work failed for a passing reason as often as it may be tried.", "See the context for the last reason, then retry the job."),
    Code("ITEM_STRANDED", Source.SYSTEM, _E, Stage.QUEUE, 500, True,
         "The job ended without this item; `cadmill doctor --fix` ended it.", "Retry the job, or submit the item again."),
    Code("PROBE_FAILED", Source.SYSTEM, _E, Stage.FEATURES, 500, False,
         "The probe failed, as it was told to.", "Nothing: the probe is for tests."),
    Code("PROBE_UNSTEADY", Source.SYSTEM, _W, Stage.FEATURES, 503, True,
         "The probe failed for a passing reason, as it was told to.", "Nothing: the probe is for tests."),
    Code("FAISS_RECOVERY_CONFLICT", Source.INPUT, _W, Stage.SEARCH, 409, False,
         "A recovery of the index that was asked for by hand is running already.",
         "Wait for it; GET /api/v1/health/faiss/health tells how it goes."),
    Code("WORKERS_SILENT", Source.CONFIG, _W, Stage.REQUEST, 409, True,
         "No worker is there to do this.", "Start the compute workers; `cadmill queues` shows who serves which queue."),
    Code("CACHE_TUNING_SNAPSHOT_ACTIVE", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "A setting of the caches was applied a moment ago and may still be taken back, so no other is applied.",
         "Wait until rollback_until, or take it back with POST /api/v1/health/features/cache/rollback."),
    Code("CACHE_TUNING_ROLLBACK_EXPIRED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "The setting of the caches can no longer be taken back.",
         "Apply the one you want anew; GET /api/v1/health/features/cache/tuning shows those before."),
    Code("CACHE_TUNING_NOTHING_APPLIED", Source.INPUT, _W, Stage.REQUEST, 409, False,
         "There is no setting of the caches to take back.",
         "Apply one with PATCH /api/v1/health/features/cache/apply; what was taken back already stays so."),
    Code("CHAOS_UNHEARD", Source.CONFIG, _W, Stage.REQUEST, 409, True,
         "No worker took the fault.", "Start the workers with CADMILL_CHAOS=1, too; one that was just killed needs a moment to come back."),
    # what stands below
    Code("BREAKER_OPEN", Source.PROVIDER, _E, Stage.REQUEST, 503, True,
         "What this needs failed too often a moment ago, so it was not asked.", "Ask again after the seconds in the context."),
    Code("BULKHEAD_FULL", Source.RESOURCE, _W, Stage.REQUEST, 503, True,
         "As many calls are at what this needs as may be at once.", "Ask again in a moment."),
    Code("CALLS_TOO_MANY", Source.RESOURCE, _W, Stage.REQUEST, 503, True,
         "What this needs is asked as often as this process may ask it.", "Ask again after the seconds in the context."),
    Code("DATABASE_UNAVAILABLE", Source.PROVIDER, _C, Stage.STORE, 503, True,
         "The database does not answer.", "Ask again in a moment."),
    Code("COMMIT_UNKNOWN", Source.PROVIDER, _C, Stage.STORE, 503, True,
         "The database went away while it was writing this down, and it is not known yet whether it did.",
         "Ask again in a moment, a submission with the same Idempotency-Key: it answers the same job if that was written."),
    Code("STORE_NOT_FOUND", Source.CONFIG, _E, Stage.START, 500, False,
         "There is no store to look into on this machine.",
         "Run it where the database is: set CADMILL_DATABASE_URL as the stack has it, or name the folder of `cadmill up` with --dir."),
    Code("BROKER_UNAVAILABLE", Source.PROVIDER, _E, Stage.QUEUE, 503, True,
         "Redis does not answer; accepted jobs are kept and start when it is back.", "Nothing is lost. Restore Redis."),
    Code("CONFIG_INVALID", Source.CONFIG, _C, Stage.START, 500, False,
         "A setting is not usable.", "Correct the setting named in the context; `cadmill settings` lists them all."),
    Code("CALLS_LIMIT", Source.RESOURCE, _W, Stage.REQUEST, 429, True,
         "You have as many calls open at once as this server allows a tenant.",
         "Close streams you no longer read, send many files on one, or have CADMILL_GRPC_MAX_TENANT_CALLS raised."),
    Code("SERVER_STOPPING", Source.SYSTEM, _I, Stage.REQUEST, 503, True,
         "The server is being stopped, so it ended this call.",
         "Call again: another process answers. Jobs that were accepted go on; send again only what was not."),
    Code("PORT_TAKEN", Source.CONFIG, _E, Stage.START, 500, False,
         "The port is used by another program.", "Choose another with --port, or 0 for any free one."),
    Code("DIRECTORY_IN_USE", Source.CONFIG, _E, Stage.START, 500, False,
         "Another `cadmill up` is working in this folder.", "Stop it, or give each its own folder with --dir."),
    Code("API_UNREACHABLE", Source.NETWORK, _E, Stage.REQUEST, 503, True,
         "The cadmill server does not answer.", "Start one with `cadmill up`, or name another with --url."),
    Code("PROCESS_FAILED", Source.SYSTEM, _C, Stage.START, 500, False,
         "A process of the stack did not start.", "See its log file named in the context."),
    Code("RECEIVER_REFUSED", Source.NETWORK, _W, Stage.DELIVER, 502, True,
         "The webhook receiver did not accept the delivery.", "Answer with a 2xx status within the time limit."),
    Code("RECEIVER_UNREACHABLE", Source.NETWORK, _W, Stage.DELIVER, 502, True,
         "The webhook receiver could not be reached.", "Check that the callback address is up and answers in time."),
    Code("ATTEMPT_LOST", Source.SYSTEM, _W, Stage.DELIVER, 503, True,
         "The process that made this attempt ended before it could say what came of it.",
         "Nothing: it is tried again under the same id, so the receiver may see the message twice."),
    Code("INTERNAL", Source.SYSTEM, _C, Stage.REQUEST, 500, False,
         "Something went wrong on our side.", "Ask again; if it stays, report the request id."),
)
# fmt: on


@dataclass(eq=False)
class Failure(Exception):
    """An expected failure, by code. `context` is public: never a path of the server, a secret or a stack trace."""

    code: str
    context: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    def __post_init__(self) -> None:
        row = CODES[self.code]
        self.message = self.message or row.sentence
        super().__init__(f"{self.code}: {self.message}")

    def __reduce__(self) -> tuple[type[Failure], tuple[str, dict[str, Any], str]]:
        return Failure, (self.code, self.context, self.message)  # an exception is else pickled by its text alone

    @property
    def row(self) -> Code:
        return CODES[self.code]

    def public(self) -> dict[str, Any]:
        """The form in which an item, a job or an answer carries the failure."""
        told = {"code": self.code, "stage": self.row.stage.value, "message": self.message, "remedy": self.row.remedy}
        return told | {"retryable": self.row.retryable, "context": self.context}

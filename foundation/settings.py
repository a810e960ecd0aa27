"""Settings: one frozen tree of sections, read once from the environment; the only file that reads it.

Every variable is `CADMILL_<SECTION>_<FIELD>` unless its field names another (those the product's user fixed).
`Settings.load()` raises `Failure("CONFIG_INVALID")` in sentences; `Settings.table()` lists name, value and meaning.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
)

from foundation.engine_settings import CacheSettings, CadSettings, FeatureSettings, IndexSettings, RecoverySettings, SandboxSettings
from foundation.errors import Failure
from foundation.resilience import policies, rates
from foundation.sections import Section, section

Url = Annotated[str, PlainSerializer(lambda value: _without_password(value))]


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme, mark, rest = head.partition("://")
    return f"{scheme}{mark}{rest.split(':')[0]}:***@{tail}" if at and ":" in rest else url


class StorageSettings(Section):
    model_config = section("STORAGE")
    directory: Path = Field(Path("cadmill-data"), description="folder of files, database and logs of this machine")


class DatabaseSettings(Section):
    model_config = section("DATABASE")
    url: Url = Field("", description="PostgreSQL or SQLite address; empty: SQLite in the storage directory")
    busy_seconds: float = Field(15.0, gt=0, description="how long a writer waits for another one")
    pool_size: int = Field(10, ge=1, description="connections a process may hold")
    connect_seconds: float = Field(5.0, gt=0, description="how long connecting may take (PostgreSQL)")


class RedisSettings(Section):
    model_config = section("REDIS")
    url: Url = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey address (redis://, rediss://, redis+socket://)")
    publish_seconds: float = Field(2.0, gt=0, description="how long the API may wait for Redis before it answers without it")
    worker_seconds: float = Field(5.0, gt=1, description="socket timeout of workers; more than 1, because they block 1 s on an empty queue")


class QueueSettings(Section):
    model_config = section("QUEUE")
    lease_seconds: float = Field(60.0, gt=0, description="how long a claimed chunk stays claimed without a sign of life")
    tick_seconds: float = Field(2.0, gt=0, description="how often upkeep looks for lost and due work")
    ring_grace_seconds: float = Field(3.0, ge=0, description="how old a ring must be before it can count as lost")
    ring_stuck_seconds: float = Field(30.0, ge=0, description="how long a fetched message may stay unclaimed")
    ring_window: int = Field(8, ge=1, description="chunks rung but not yet claimed, per queue and priority")
    age_seconds: float = Field(600.0, gt=0, description="a chunk that has waited so long moves up to the next priority, and so on")
    chunk_max_items: int = Field(2000, ge=1, description="most items in one chunk")
    chunk_target_bytes: int = Field(
        2_500_000, ge=1, description="input bytes at which a chunk is full, while it is not known how long they take"
    )
    chunk_seconds: float = Field(
        1.0, gt=0, le=60, description="work in a chunk, once it is known how long items take; urgent jobs: half of it"
    )
    chunk_per_job_min: int = Field(8, ge=1, description="a job is cut into at least this many chunks, if it has the items")
    quarantine_hours: float = Field(24.0, gt=0, description="how long a file that killed two processes is kept from the engine")
    retry_tokens: float = Field(500.0, gt=0, description="retry budget of each dependency; a retry takes 5, after a timeout 10")
    retry_trickle: float = Field(1.0, gt=0, description="tokens that come back to a retry budget each second")
    claim_seconds: float = Field(30.0, gt=0, description="how long an Idempotency-Key stays in flight when its request died")


class RetentionSettings(Section):
    model_config = section("RETENTION")
    job_days: float = Field(90, gt=0, description="ended jobs, their items and deliveries are pruned after this")
    succeeded_days: float | None = Field(None, gt=0, description="the same for jobs that succeeded; none: as CADMILL_RETENTION_JOB_DAYS")
    partial_days: float | None = Field(None, gt=0, description="the same for jobs that ended partial")
    failed_days: float | None = Field(None, gt=0, description="the same for jobs that failed")
    cancelled_days: float | None = Field(None, gt=0, description="the same for jobs that were cancelled")
    result_days: float | None = Field(None, gt=0, description="results of items are emptied after this; none: with their job")
    chunk_days: float = Field(1, gt=0, description="chunks of ended jobs are forgotten after this, so that claims see live work only")
    rollback_days: float = Field(30, gt=0, description="a migration can be rolled back for so long after its end")
    file_days: float = Field(7, gt=0, description="files without a part are removed after this, with their vectors and previews")
    idempotency_days: float = Field(2, ge=1, description="Idempotency-Keys are remembered this long")
    audit_days: float | None = Field(None, gt=0, description="lines of the audit trail are let go after this; none: never")


class AuditSettings(Section):
    """The audit trail outside of the database, and what it keeps to itself."""

    model_config = section("AUDIT")
    file: Path | None = Field(None, description="every line of the audit trail is appended to this file too, as JSON")
    anchor_file: Path | None = Field(
        None, description="the ends of the chains of the audit trail are signed into this file every minute; keep it on another machine"
    )
    anchor_seconds: float = Field(60.0, gt=0, description="how often they are, while something is told")
    encrypt: bool = Field(False, description="1: details of new lines are sealed; then they are searched by all but their details")


class ScheduleSettings(Section):
    model_config = section("SCHEDULE")
    late_seconds: float = Field(60, gt=0, description="how late a slot may start where the schedule does not catch up")
    max_per_tenant: int = Field(200, ge=1, description="most schedules of a tenant")


class QuotaSettings(Section):
    """What a tenant may have at most, where nothing else was set for it."""

    model_config = section("QUOTA")
    bytes: int = Field(0, ge=0, description="bytes of the parts a tenant may keep, each part counted; 0: no limit")
    parts: int = Field(0, ge=0, description="parts a tenant may keep; 0: no limit")
    jobs: int = Field(0, ge=0, description="jobs of a tenant that may be in flight (queued or running); 0: no limit")


class KeySettings(Section):
    model_config = section("KEY")
    overlap_days: float = Field(7, ge=0, description="how long a key that was rotated goes on beside its successor, if not said otherwise")
    hint_days: float = Field(7, gt=0, description="after how many days answers hint that the key should be rotated")


class UploadSettings(Section):
    model_config = section("UPLOAD")
    max_file_bytes: int = Field(256_000_000, ge=1, description="largest single file")
    max_body_bytes: int = Field(2_000_000_000, ge=1, description="largest upload request")
    max_files: int = Field(5_000, ge=1, description="most files in one upload request, those in archives counted")
    max_json_bytes: int = Field(16_000_000, ge=1, description="largest JSON request")
    idle_seconds: float = Field(30.0, gt=0, description="how long a request body may pause")
    min_bytes_per_second: int = Field(1_000, ge=1, description="how slow a request body may be on the whole, once it took so long")
    max_unpacked_bytes: int = Field(2_000_000_000, ge=1, description="most bytes of an archive once it is unpacked")
    max_unpacked_ratio: int = Field(200, ge=1, description="how many times its own size an archive may become")
    max_items: int = Field(100_000, ge=1, description="most items of one job")


def _rate(text: str) -> str:
    rates.parse("", text)
    return text


Rate = Annotated[str, AfterValidator(_rate)]


class LimitSettings(Section):
    """Rate limits, as `STRATEGY UNITS/SECONDS [burst UNITS]`; empty: no limit. Requests cost units by what they do (`api/limits.py`)."""

    model_config = section("LIMIT")
    ip: Rate = Field("sliding-window 120000/60", description="what may come from one address (IPv6: one /64)")
    user: Rate = Field("token-bucket 120000/60", description="what may come with one key")
    tenant: Rate = Field("token-bucket 240000/60", description="what may come from one tenant, with all its keys")
    everybody: Rate = Field(
        "leaky-bucket 1200000/60 burst 120000",
        validation_alias=AliasChoices("CADMILL_LIMIT_GLOBAL", "everybody"),
        description="what may come at all, to all API processes together",
    )
    guess: Rate = Field(
        "sliding-window 1200/60",
        description="wrong keys and admin tokens from one address, or for one key, before they are no longer judged",
    )
    replicas: int = Field(1, ge=1, description="API processes to reckon with while Redis cannot tell how many there are")
    redis_seconds: float = Field(0.5, gt=0, description="how long a request may wait for Redis before this process counts by itself")


def _switches(text: str) -> str:
    policies.switches(text)
    return text


class ResilienceSettings(Section):
    """What stands around calls that leave a process (`foundation/resilience/policies.py`)."""

    model_config = section("RESILIENCE")
    off: Annotated[str, AfterValidator(_switches)] = Field(
        "", description="parts that are switched off, by commas, such as webhook.breaker,redis.retry; `cadmill check` shows them all"
    )

    @property
    def switches(self) -> policies.Switches:
        return policies.switches(self.off)


class WebhookSettings(Section):
    model_config = section("WEBHOOK")
    allow_private: bool = Field(False, description="1: callbacks may go to private and loopback addresses, and by http")
    timeout_seconds: float = Field(15.0, gt=0, description="how long a receiver may take")
    schedule_seconds: tuple[float, ...] = Field(
        (0, 5, 300, 1800, 7200, 18000, 36000, 36000), min_length=1, description="waits before each try of a delivery (JSON list)"
    )
    margin_seconds: float = Field(10.0, gt=0, description="by how much a courier's claim outlives the longest try")
    ring_window: int = Field(100, ge=1, description="deliveries rung but not yet claimed")
    at_once: int = Field(2, ge=1, description="deliveries in flight to one host, of all tenants: a slow one holds no more threads")
    max_per_tenant: int = Field(20, ge=1, description="most webhook endpoints of a tenant")
    overlap_hours: float = Field(24.0, ge=0, description="how long the old secret of an endpoint signs beside a new one")
    off_after_days: float = Field(5.0, gt=0, description="an endpoint that accepted nothing for so long is switched off")


class LiveSettings(Section):
    """Who may listen to live events, and how many."""

    model_config = section("LIVE")
    origins: str = Field("", description="origins of web pages that may listen besides the server's own, such as https://cad.example.com")
    keep: int = Field(10_000, ge=100, description="events kept for those who come back; all tenants together")
    backlog: int = Field(256, ge=16, description="events that may wait for a slow reader before it is dropped")
    max_connections: int = Field(2_000, ge=1, description="connections that listen to one API process")
    max_per_tenant: int = Field(1_000, ge=1, description="the same, of one tenant")
    max_per_key: int = Field(200, ge=1, description="the same, of one key")
    max_strangers: int = Field(200, ge=1, description="WebSockets that have not shown a key yet")
    max_channels: int = Field(200, ge=1, description="channels of one connection")
    hello_seconds: float = Field(5.0, gt=0, description="how long a WebSocket may take to show its key")
    heartbeat_seconds: float = Field(20.0, gt=0, description="how often a silent event stream is told that it lives")
    check_seconds: float = Field(2.0, gt=0, le=4, description="how often the keys of those who listen are looked at again")
    look_seconds: float = Field(
        5.0, gt=0, description="how often the ledger is asked for the jobs somebody listens to, in case news was lost"
    )

    @property
    def foreign_origins(self) -> frozenset[str]:
        return frozenset(self.origins.replace(",", " ").lower().split())


class ApiSettings(Section):
    model_config = section("API")
    host: str = Field("127.0.0.1", description="address the API listens on")
    port: int = Field(8000, ge=0, le=65535, description="port of the API; 0: any free one")
    threads: int = Field(16, ge=1, description="requests handled at once")
    key: SecretStr = Field(SecretStr(""), description="the key the command line sends (CADMILL_API_KEY)")
    admin_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("ADMIN_TOKEN", "admin_token"),
        description="what X-Admin-Token must say on admin routes; empty: they refuse everybody",
    )
    url: str = Field("", description="where the command line finds the API; empty: the host and port above")
    session_hours: float = Field(12.0, gt=0, description="how long one who signed in to the page stays signed in")
    trusted_proxies: str = Field(
        "", description="addresses and networks, by commas, of proxies whose X-Forwarded-For is believed; empty: nobody's"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: str) -> str:
        for each in given.replace(",", " ").split():
            ipaddress.ip_network(each)
        return given

    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Networks of `trusted_proxies`."""
        return tuple(ipaddress.ip_network(each) for each in self.trusted_proxies.replace(",", " ").split())


class GrpcSettings(Section):
    """The gRPC door, a process of its own."""

    model_config = section("GRPC")
    host: str = Field("127.0.0.1", description="address the gRPC server listens on")
    port: int = Field(0, ge=0, le=65535, description="port of the gRPC server; 0: there is none")
    certificate: Path | None = Field(None, description="file of its TLS certificate chain (PEM); read again when it has changed")
    private_key: Path | None = Field(None, description="file of the private key of that certificate (PEM)")
    plain: bool = Field(False, description="1: it may listen beyond this machine without TLS, because something before it speaks TLS")
    max_message_bytes: int = Field(4_194_304, ge=131_072, description="largest message a client may send")
    max_metadata_bytes: int = Field(8_192, ge=1_024, description="most metadata of a call")
    max_streams: int = Field(100, ge=1, description="calls at once on one connection")
    max_calls: int = Field(1_000, ge=1, description="calls at once")
    max_tenant_calls: int = Field(200, ge=1, description="calls at once of one tenant")
    grace_seconds: float = Field(5.0, ge=0, description="how long calls in hand may go on when the server is told to stop")


class ProcessSettings(Section):
    name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}",
        validation_alias=AliasChoices("CADMILL_PROCESS_NAME", "name"),
        description="name of this process in leases",
    )
    grace_seconds: float = Field(
        10.0,
        ge=0,
        validation_alias=AliasChoices("CADMILL_PROCESS_GRACE_SECONDS", "grace_seconds"),
        description="how long a compute worker that was told to stop goes on; what is not done then is handed back",
    )
    production: bool = Field(
        False,
        validation_alias=AliasChoices("CADMILL_PRODUCTION", "production"),
        description="1: strangers can reach this server, so it does not start with anything left open",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("CADMILL_SECRET", "secret"),
        description="what keys and webhook secrets are kept with, 32 random characters and more; empty: the file secret of the storage "
        "folder. The same for all processes",
    )
    probe: bool = Field(
        False, validation_alias=AliasChoices("CADMILL_PROBE", "probe"), description="1: the probe task of benchmarks and fault tests exists"
    )
    chaos: bool = Field(
        False,
        validation_alias=AliasChoices("CADMILL_CHAOS", "chaos"),
        description="1: `cadmill chaos` may hurt this stack, with the admin token; for stacks whose work does not matter",
    )
    metrics_directory: str = Field(
        "",
        validation_alias=AliasChoices("PROMETHEUS_MULTIPROC_DIR", "metrics_directory"),
        description="folder in which the processes of a machine add up their metrics (prometheus-client reads the same variable)",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=AliasChoices("CADMILL_LOG_LEVEL", "log_level"), description="how much is logged"
    )


class Settings(BaseModel):
    """The whole tree. Each component receives its own section."""

    model_config = ConfigDict(frozen=True)

    storage: StorageSettings = Field(default_factory=StorageSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    quota: QuotaSettings = Field(default_factory=QuotaSettings)
    key: KeySettings = Field(default_factory=KeySettings)
    upload: UploadSettings = Field(default_factory=UploadSettings)
    limit: LimitSettings = Field(default_factory=LimitSettings)
    resilience: ResilienceSettings = Field(default_factory=ResilienceSettings)
    cad: CadSettings = Field(default_factory=CadSettings)
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    grpc: GrpcSettings = Field(default_factory=GrpcSettings)
    process: ProcessSettings = Field(default_factory=ProcessSettings)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment. Raises `Failure` CONFIG_INVALID that names each unusable variable."""
        try:
            return cls()
        except ValidationError as error:
            wrong = {
                ".".join(str(step) for step in fault["loc"]) or error.title: f"{fault['msg']} (given: {fault['input']!r})"
                for fault in error.errors()
            }
            raise Failure("CONFIG_INVALID", {"section": error.title, "settings": wrong}) from error

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite:///{self.storage.directory.absolute() / 'cadmill.db'}"

    def table(self) -> Iterator[tuple[str, str, str]]:
        """Rows of (variable, value, meaning), secrets and passwords masked."""
        for name in type(self).model_fields:
            section = getattr(self, name)
            values = section.model_dump(mode="json")
            for field, info in type(section).model_fields.items():
                alias = info.validation_alias
                first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
                variable = first or f"{type(section).model_config['env_prefix']}{field}".upper()
                yield str(variable), str(values[field]), info.description or ""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read at the first call."""
    return Settings.load()


def environment(changes: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a process we start: ours with `changes` (None removes)."""
    merged = dict(os.environ)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = str(value)
    return merged


def forget_environment() -> None:
    """Leave this process and its children none of the variables it was started with."""
    os.environ.clear()

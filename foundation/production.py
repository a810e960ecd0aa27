"""What a server that strangers can reach (CADMILL_PRODUCTION=1) must not leave open: one table, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foundation.errors import Failure
from foundation.settings import Settings

_LENGTH = 32  # characters: 128 bits and more, however they were made up


@dataclass(frozen=True, slots=True)
class Rule:
    """`broken` by these settings: then `sentence` says what to do. `api`: only the process that answers strangers has the setting."""

    variable: str
    broken: Callable[[Settings], bool]
    sentence: str
    api: bool = False


RULES = (
    Rule(
        "ADMIN_TOKEN",
        lambda here: len(here.api.admin_token.get_secret_value()) < _LENGTH,
        f"set it to {_LENGTH} random characters or more (openssl rand -hex 32): whoever knows it runs this server",
        api=True,
    ),
    Rule(
        "CADMILL_SECRET",
        lambda here: len(here.process.secret.get_secret_value()) < _LENGTH,
        f"set it to {_LENGTH} random characters or more (openssl rand -hex 32), the same for all processes, and keep it with the backup",
    ),
    Rule("CADMILL_CHAOS", lambda here: here.process.chaos, "leave it out: `cadmill chaos` hurts the stack"),
    Rule("CADMILL_PROBE", lambda here: here.process.probe, "leave it out: the probe fails and dies on demand"),
    Rule(
        "CADMILL_WEBHOOK_ALLOW_PRIVATE",
        lambda here: here.webhook.allow_private,
        "leave it out: tenants could have this server call into your network",
    ),
)


def check(settings: Settings, api: bool = False) -> None:
    """Raises CONFIG_INVALID that names every rule that is broken."""
    if not settings.process.production:
        return
    wrong = {rule.variable: rule.sentence for rule in RULES if (api or not rule.api) and rule.broken(settings)}
    if wrong:
        raise Failure("CONFIG_INVALID", {"settings": wrong}, f"CADMILL_PRODUCTION=1 does not go together with {', '.join(wrong)} as set.")

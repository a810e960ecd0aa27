"""What may stand in a line: values that every database and every reader sees alike, no secret, and, if asked for, sealed.

Sealed details are {"sealed": "..."}; the chain covers that text, so a trail is proved without the secret and read with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from foundation.canonical import MOST_INTEGER
from foundation.errors import Failure
from foundation.sealing import Sealing

MASK = "***"
_PURPOSE = "audit details"
_SECRET_WORDS = frozenset(("secret", "token", "password", "passphrase", "pepper", "authorization", "cookie", "credential", "credentials"))
_KEY_NAMES = frozenset(("key", "api_key", "private_key"))
# our keys, secrets of webhooks, and the password in an address, wherever in a text they stand
_SECRETS = re.compile(r"cadmill_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}|whsec_[0-9A-Za-z+/=_-]{8,}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")


def plain(value: Any) -> Any:
    """The value as JSON knows it, secrets masked. What JSON cannot tell exactly becomes a text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= MOST_INTEGER else str(int(value))
    if isinstance(value, float):
        return float(value) + 0.0 if abs(value) <= MOST_INTEGER else str(value)  # NaN is not, either
    if isinstance(value, Mapping):
        return {text(str(name)): MASK if _secret(str(name)) and isinstance(one, str | bytes) else plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    return text(str(value))


def text(value: str) -> str:
    """A text that both databases store: no NUL, no half surrogate pair; and no secret."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode() if any("\ud800" <= letter <= "\udfff" for letter in value) else value
    return _SECRETS.sub(MASK, value.replace("\x00", "\ufffd"))


def _secret(name: str) -> bool:
    return name.lower() in _KEY_NAMES or not _SECRET_WORDS.isdisjoint(re.split(r"[_\-\s]", name.lower()))


class Details:
    """Seals the details of lines, if asked for, and opens them."""

    def __init__(self, sealing: Callable[[], Sealing] | None = None, encrypts: bool = False) -> None:
        self._sealing, self._encrypts = sealing, encrypts

    def kept(self, detail: dict[str, Any], chain: str, number: int, action: str) -> dict[str, Any]:
        """As they are stored. What the trail tells of itself stays readable: the proof needs it."""
        if not self._encrypts or self._sealing is None or action.startswith("audit.") or not detail:
            return detail
        return {"sealed": self._sealing().seal(json.dumps(detail), _PURPOSE, f"{chain}/{number}")}

    def told(self, stored: dict[str, Any], chain: str, number: int | None) -> dict[str, Any]:
        """As they were recorded. Raises SECRET_MISMATCH."""
        if list(stored) != ["sealed"]:
            return stored
        if self._sealing is None:
            raise Failure("SECRET_MISMATCH", {"purpose": _PURPOSE})
        opened: dict[str, Any] = json.loads(self._sealing().open(str(stored["sealed"]), _PURPOSE, f"{chain}/{number}"))
        return opened

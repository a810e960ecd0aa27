"""What only this installation can make or read: peppers and sealed texts, all derived from one secret of 32 bytes and more.

The secret is CADMILL_SECRET, or the file `secret` of the storage directory, made once. Without it webhooks cannot be signed and
no key is known any more, so it belongs into the backup, apart from the database.
AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits; each purpose has a key of its own by HKDF-SHA-256 (RFC 5869).
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.settings import Settings

_FORM, _NONCE = "s1.", 12  # the form is told, so that another one can follow


class Sealing:
    """Keys by purpose, such as "api keys" or "webhook secrets"."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def pepper(self, purpose: str) -> bytes:
        """32 bytes that are the same wherever this secret is."""
        return _derived(self._secret, f"pepper/{purpose}")

    def seal(self, text: str, purpose: str, bound_to: str) -> str:
        """A text that `open` gives back for the same purpose and owner, and nobody else reads or moves elsewhere."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(_derived(self._secret, f"seal/{purpose}")).encrypt(nonce, text.encode(), bound_to.encode())
        return _FORM + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, purpose: str, bound_to: str) -> str:
        """The text. Raises SECRET_MISMATCH: sealed with another secret, for another purpose or owner, or changed since."""
        try:
            if not sealed.startswith(_FORM):
                raise ValueError("another form")
            raw = base64.b64decode(sealed.removeprefix(_FORM), validate=True)
            opened = AESGCM(_derived(self._secret, f"seal/{purpose}")).decrypt(raw[:_NONCE], raw[_NONCE:], bound_to.encode())
            return opened.decode()
        except (InvalidTag, ValueError) as error:
            raise Failure("SECRET_MISMATCH", {"purpose": purpose}) from error


@lru_cache(maxsize=64)
def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, b"cadmill", purpose.encode()).derive(secret)


def of(settings: Settings) -> Sealing:
    """The sealing of this installation; the file of its secret is made if there is none. Raises STORAGE_FULL, STORAGE_FAILED."""
    given = settings.process.secret.get_secret_value()
    return Sealing(given.encode() if given else _kept(settings.storage.directory / "secret"))


def _kept(file: Path) -> bytes:
    """Made whole under another name first: of two processes that start at once both read what one of them wrote."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes().strip()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, prefix="secret.")  # mode 0600
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, file)
        os.unlink(part)
    except OSError as error:
        raise failure_of(error, Provider.STORAGE) from error
    return file.read_bytes().strip()

"""TLS: the certificate and key of the server, read again when their files have changed, so that a renewed one needs no restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from foundation.errors import Failure
from foundation.settings import GrpcSettings
from foundation.telemetry import logger


class Certificates:
    """The two files, and what was read of them last."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self._files = certificate, private_key
        self._seen = self._times()
        self._first = self._read()

    @classmethod
    def of(cls, settings: GrpcSettings) -> Certificates | None:
        """Those that are set, None without any. Raises CONFIG_INVALID for half of them, and for files that are not what they should be."""
        if settings.certificate is None and settings.private_key is None:
            return None
        if settings.certificate is None or settings.private_key is None:
            sentence = "a certificate and its private key are set together"
            raise Failure("CONFIG_INVALID", {"settings": {"CADMILL_GRPC_CERTIFICATE, CADMILL_GRPC_PRIVATE_KEY": sentence}})
        try:
            return cls(settings.certificate, settings.private_key)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            sentence = f"cannot be used: {error}"
            raise Failure("CONFIG_INVALID", {"settings": {"CADMILL_GRPC_CERTIFICATE, CADMILL_GRPC_PRIVATE_KEY": sentence}}) from error

    def credentials(self) -> Any:
        return grpc.dynamic_ssl_server_credentials(self._first, self._renewed)

    def _renewed(self) -> Any:
        """What a new connection is to be met with, None for the same as before. grpc asks at each handshake, in a thread of its own."""
        try:
            times = self._times()
            if times == self._seen:
                return None
            renewed = self._read()
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # half-written: the old one serves until it is whole
            logger.warning("the new certificate cannot be used yet: %s", error)
            return None
        self._seen = times
        return renewed

    def _times(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in self._files)

    def _read(self) -> Any:
        """Raises OSError and what cryptography raises, where grpc would accept anything and fail at the first handshake."""
        chain, key = (file.read_bytes() for file in self._files)
        if load_pem_x509_certificates(chain)[0].public_key() != load_pem_private_key(key, None).public_key():
            raise ValueError("the private key is not the one of the certificate")
        return grpc.ssl_server_certificate_configuration([(key, chain)])

"""What a section of the settings is: fields read from variables of one prefix, frozen."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class Section(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)


def section(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(frozen=True, extra="ignore", env_prefix=f"CADMILL_{prefix}_", populate_by_name=True)

"""What the environment says; the only place that reads it for the product's own settings."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """``environment`` from VEIL_ENV (never production by default), ``prefect_api_url`` from PREFECT_API_URL."""

    environment: str
    prefect_api_url: str | None
    no_color: bool


def settings() -> Settings:
    """Read the environment now."""
    return Settings(
        environment=os.environ.get("VEIL_ENV") or "dev",
        prefect_api_url=os.environ.get("PREFECT_API_URL") or None,
        no_color=bool(os.environ.get("NO_COLOR")),
    )

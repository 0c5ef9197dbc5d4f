"""A part of what is configured: typed, frozen, and a key that it does not know is an error."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """One section of the settings; frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> str:
        """A short hash of the section's values, for the fingerprint of a run."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

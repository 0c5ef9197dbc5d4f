"""A section of the settings, and of what is declared beside them: frozen, and strict about its keys."""

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

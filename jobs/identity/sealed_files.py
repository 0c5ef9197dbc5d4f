"""Sealed files: what does not fit into memory, on a disk under a key that only this process has and only in its memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES, KEY_BITS = 12, 256


class SealedFiles:
    """Temporary files, encrypted by AES-GCM, in a folder of their own that is gone when the context ends, also by an error."""

    def __init__(self, beside: str | None = None) -> None:
        """Nothing is written yet.

        Args:
            beside: the folder in which that of the files is made; by default the system's for temporary files.
        """
        self.beside = beside
        self.folder: Path | None = None
        self._cipher, self._files = AESGCM(AESGCM.generate_key(KEY_BITS)), list[Path]()

    def __enter__(self) -> SealedFiles:
        """The files themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove them."""
        if self.folder is not None:
            shutil.rmtree(self.folder)

    def write(self, content: bytes) -> None:
        """Write one more file."""
        if self.folder is None:
            if self.beside is not None:
                Path(self.beside).mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix="sealed-", dir=self.beside))  # mode 0700
        file, nonce = self.folder / f"{len(self._files):06}", os.urandom(NONCE_BYTES)
        file.write_bytes(nonce + self._cipher.encrypt(nonce, content, file.name.encode()))
        self._files.append(file)

    def read(self) -> Iterator[bytes]:
        """What was written, file by file."""
        for file in self._files:
            sealed = file.read_bytes()
            yield self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], file.name.encode())

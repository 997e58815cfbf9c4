"""What tells whether two files hold the same model, without reading them to the end.

Two models are taken as the same when their files have the same sizes, their headers say the same (all
metadata, the places of long arrays, the whole tensor table) and samples of their tensor data are equal. A
change of one weight in two copies can go unseen; a change of one token id or one letter of the template
cannot.
"""

from __future__ import annotations

import hashlib
import os

import msgspec

from kobold_tui.domain.model import Header

SAMPLE_BYTES = 4096
SAMPLES = 3


def content_identity(header: Header) -> str:
    """Return a digest of the model's content; empty where its files cannot be read again."""
    digest = hashlib.sha256()
    digest.update(msgspec.msgpack.encode((header.version, header.metadata, header.tensors)))
    try:
        for index, path in enumerate(header.paths):
            _add_samples(digest, path, header.data_offset if index == 0 else 0)
    except OSError:
        return ""
    return digest.hexdigest()


def _add_samples(digest: hashlib._Hash, path: str, data_offset: int) -> None:
    """Add the size of a file and samples from the begin, the middle and the end of its data."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(size - SAMPLE_BYTES, data_offset)
        for index in range(SAMPLES):
            offset = data_offset + (last - data_offset) * index // (SAMPLES - 1)
            digest.update(os.pread(fd, SAMPLE_BYTES, offset))
    finally:
        os.close(fd)

"""Whether a store holds what was written to it."""

import hashlib

from infra.storage import Storage


def holds(storage: Storage, uri: str, content: bytes) -> bool:
    """Whether ``uri`` now is ``content``: one look at its size and ETag, and the bytes again unless the ETag is their
    MD5. It is for a plain PUT on S3 (``AmazonS3:API_Object``, ETag) and on what speaks like it; not with KMS keys, and
    folders have none.
    """
    facts = storage.info(uri)
    if facts is None or facts.size != len(content):
        return False
    if facts.etag == hashlib.md5(content, usedforsecurity=False).hexdigest():
        return True
    return hashlib.sha256(storage.read(uri)).digest() == hashlib.sha256(content).digest()

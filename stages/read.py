"""Read: the photo's bytes and their hash, many photos at a time."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from infra.storage import Storage, StorageFault
from stages.codec import Limits
from stages.photo import FaultClass, Photo, PhotoFault
from stages.stage import each, one


class Read:
    """Fetches each photo whole. A photo whose content the ledger already has is ``renewed`` and goes no further."""

    name = "read"

    def __init__(self, storage: Storage, limits: Limits, threads: int = 8) -> None:
        self.storage = storage
        self.limits = limits
        self.threads = threads

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        if len(photos) == 1:
            return each(self.name, photos, self.read)
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda photo: one(self.name, photo, self.read) if photo.open else photo, photos))

    def read(self, photo: Photo) -> Photo:
        source = photo.source
        if source.size is not None and source.size > self.limits.max_bytes:
            raise PhotoFault(FaultClass.TOO_LARGE, f"{source.size} bytes are more than {self.limits.max_bytes}")
        try:
            content = self.storage.read(source.uri, source.size)
        except StorageFault as fault:
            raise PhotoFault(FaultClass(fault.kind), fault.message, fault.attempts) from fault
        if not content:
            raise PhotoFault(FaultClass.EMPTY, "the file is empty")
        if len(content) > self.limits.max_bytes:
            raise PhotoFault(FaultClass.TOO_LARGE, f"{len(content)} bytes are more than {self.limits.max_bytes}")
        sha256 = hashlib.sha256(content).hexdigest()
        read = replace(photo, bytes_read=len(content), sha256=sha256, source=replace(source, size=len(content)))
        if sha256 == source.previous_sha256 and not source.retry:
            return replace(read, renewed=True)
        return replace(read, data=np.frombuffer(content, np.uint8))

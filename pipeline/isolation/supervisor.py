"""Who is to blame when a child dies: every photo of its batch is tried again by itself, and may then fail alone."""

import logging

from pipeline.isolation.faults import OurFault
from pipeline.isolation.sandbox import Death, Sandbox
from stages.photo import Fault, Photo
from stages.stage import counted

log = logging.getLogger(__name__)

DEATHS = "worker_deaths"
TRIES = 2  # by itself, the last time in a child that has seen no other photo
IN_A_ROW = 10  # so many photos that fail so, with none done in between, are no photos' fault


class Supervisor:
    """Photos in, the same photos out, whatever they do to the sandbox's child."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.row = 0

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        """Raises ``OperatorError`` or ``OurFault`` where no photo is to blame."""
        if len(photos) < 2:
            return [self.alone(photo) for photo in photos]
        try:
            done = self.sandbox.run(photos)
        except Death as death:
            log.warning("a worker died with %d photos, now one by one: %s: %s", len(photos), death.stage, death)
            first, *others = [self.alone(photo) for photo in photos]
            return [counted(first, DEATHS, 1), *others]
        self.row = 0
        return done

    def alone(self, photo: Photo) -> Photo:
        """One photo by itself. Only what happens here is held against it."""
        deaths: list[Death] = []
        while len(deaths) < TRIES:
            try:
                done = self.sandbox.run([photo])[0]
            except Death as death:
                log.warning("a worker died: %s: %s: %s", photo.source.uri, death.stage, death)
                deaths.append(death)
            else:
                self.row = 0 if photo.open else self.row
                return counted(done, DEATHS, len(deaths))
        return self.given_up(photo, deaths[-1])

    def given_up(self, photo: Photo, death: Death) -> Photo:
        """``photo``, failed; or the end of the run if too many photos in a row come to that."""
        self.row += 1
        if self.row >= IN_A_ROW:
            raise OurFault(f"{self.row} photos in a row ended their worker, the last in {death.stage}: {death}")
        fault = Fault(death.stage, death.kind, death.message, TRIES)
        return counted(photo.failed(fault), DEATHS, TRIES)

"""Stages that say where they are, so that who watches them knows how long each photo has taken."""

from collections.abc import Callable, Sequence

from pipeline.isolation.messages import At
from stages.photo import Photo
from stages.stage import Singly, Stage

Tell = Callable[[At], None]


class Watched:
    """A stage that tells when it begins. With ``timed`` its photos have their time from then on, all together."""

    def __init__(self, stage: Stage, tell: Tell, timed: bool) -> None:
        self.name = stage.name
        self.stage = stage
        self.tell = tell
        self.timed = timed

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        self.tell(At(self.name, len(photos) if self.timed else 0))
        return self.stage(photos)


class WatchedSingly(Singly):
    """``Singly``, each photo of which has its own time."""

    def __init__(self, singly: Singly, tell: Tell) -> None:
        super().__init__([Watched(stage, tell, timed=False) for stage in singly.stages])
        self.tell = tell

    def through(self, photo: Photo) -> Photo:
        self.tell(At(self.stages[0].name, 1))
        return super().through(photo)


def watched(stages: Sequence[Stage], tell: Tell) -> list[Stage]:
    """The same stages, telling."""
    return [
        WatchedSingly(stage, tell) if isinstance(stage, Singly) else Watched(stage, tell, timed=True)
        for stage in stages
    ]

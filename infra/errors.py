"""What can go wrong outside a photo.

    DaguerreError
    └── OperatorError          one clear line, a hint and exit code 2; never a traceback
        ├── ConfigError        a config file, option or rule that cannot be used
        ├── StorageError       a source or sink that cannot be reached or must not be used so
        │   └── SinkHeld       a sink that another run works into (exit code 75)
        ├── WeightsError       a weights file that is missing, unknown or not what it should be
        ├── ResourceError      pools that do not fit the cluster, stages that do not fit their memory
        │   ├── NoCluster      a cluster that cannot be reached (exit code 75)
        │   └── NoPlace        a cluster on which a step found no place in time (exit code 75)
        └── RecipeError        a sink whose rows were made by another recipe

A photo's fault is not in this tree: it is a value (``stages.photo.Fault``) that ends in the manifest.
Our own faults are ordinary exceptions and end the job: in a stage with one line (``pipeline.isolation.faults``), else
with their traceback.
"""


class DaguerreError(Exception):
    """Base of every error that Daguerre raises on purpose."""


class OperatorError(DaguerreError):
    """Something that the operator can put right: says what, which and, as ``hint``, what to do.

    With ``later`` time may put it right, too: the same command may be given again as it is.
    """

    later = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["OperatorError"], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class ConfigError(OperatorError):
    """A config file, option or rule that cannot be used."""


class StorageError(OperatorError):
    """A source or sink that cannot be reached, or must not be used as asked."""


class SinkHeld(StorageError):  # noqa: N818 - the sink's state, no fault of anybody's
    """A sink that another run works into."""

    later = True


class WeightsError(OperatorError):
    """A weights file that is missing, unknown, or not what its registry entry promises."""


class ResourceError(OperatorError):
    """Pools that ask for more than the cluster has, or workers for more memory than they may have."""


class NoCluster(ResourceError):  # noqa: N818
    """A Ray cluster that cannot be reached."""

    later = True


class NoPlace(ResourceError):  # noqa: N818
    """A cluster on which ``steps`` of the flow found no place in time."""

    later = True

    def __init__(self, message: str, hint: str = "", steps: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.steps = steps


class RecipeError(OperatorError):
    """A sink that already holds rows made by another recipe."""

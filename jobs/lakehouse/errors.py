"""What can go wrong, one class per kind; each knows the exit code that an orchestrator reads."""


class LakehouseError(Exception):
    """Any fault that a job reports in words: what happened, where, and what to do."""

    exit_code = 1


class FullDiskError(LakehouseError):
    """A disk has no room left; what was not committed is not to be seen, and the same command goes on once there is room."""


class LostFilesError(LakehouseError):
    """What Spark wrote down in between was taken away while a run read it; the tables keep their versions."""


class ConfigurationError(LakehouseError):
    """A setting, a dataset's configuration or a secret is missing, unknown or wrong."""

    exit_code = 2


class ContractError(LakehouseError):
    """A contract can't be read, or rows or a table don't have the columns that the contract declares."""

    exit_code = 2


class QualityGateError(LakehouseError):
    """A critical rule failed on staged rows; the table keeps its old version."""

    exit_code = 3


class LockedError(LakehouseError):
    """Another process is writing the same table."""

    exit_code = 4


class DataError(LakehouseError):
    """Data that should be there is missing, has changed under the same name, or can't be put together."""

    exit_code = 5

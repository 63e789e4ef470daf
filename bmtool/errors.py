"""Every error a user can cause, and the exit code each one ends with.

BmtoolError                 1   (never raised itself)
├── ConfigError             2   configuration or command line: unknown key, wrong type, cross-field problem
├── GateMissed              3   a metric named by --require missed its bound
├── DataError               4   data or a file that is not what it should be
├── ExportMismatch          5   an export disagrees with PyTorch
├── ResourceError           6   disk, memory, a busy run directory
│   └── Untrainable         6   more memory than there is, a non-finite loss: other settings may train
└── Interrupted           130   stopped by SIGINT or SIGTERM, state saved
"""


class BmtoolError(Exception):
    """Printed as one line (or a short list) on stderr, without a traceback."""

    exit_code = 1


class ConfigError(BmtoolError):
    exit_code = 2


class GateMissed(BmtoolError):
    exit_code = 3


class DataError(BmtoolError):
    exit_code = 4


class ExportMismatch(BmtoolError):
    exit_code = 5


class ResourceError(BmtoolError):
    exit_code = 6


class Untrainable(ResourceError):
    """What the settings ask for cannot be trained; others may be."""


class Interrupted(BmtoolError):
    exit_code = 130


class BadInput(ValueError):
    """Why one input cannot be used, in a few words that are the same for every such input. The others are answered."""


class TooLong(BadInput):
    """It is longer than the model reads."""

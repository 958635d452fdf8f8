"""What the slot engine refuses, besides the errors of `accel_backends.errors`."""

from accel_backends.errors import BackendError

__all__ = ["ContextError", "QueueFullError", "TemplateError"]


class QueueFullError(BackendError):
    """More requests wait than the node's configuration allows."""

    code = "backend.busy"


class ContextError(BackendError):
    """The prompt is empty or leaves no room for an answer."""

    code = "backend.input.context"


class TemplateError(BackendError):
    """The chat template does not accept these messages."""

    code = "backend.input.messages"

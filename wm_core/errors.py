"""Errors of the world model. Each text says what, got, wanted and the next step."""


class SanaWMError(Exception):
    """Base of every error that this package raises on purpose."""


class ShapeError(SanaWMError, ValueError):
    """A tensor or array has the wrong shape, size or length."""


class CameraError(SanaWMError, ValueError):
    """An action string, pose or set of intrinsics does not describe a camera path."""


class ConfigError(SanaWMError, ValueError):
    """A configuration is not one of a model that this package can build."""


class CheckpointError(SanaWMError, ValueError):
    """A weights file is truncated, foreign, or does not fit the model it was opened for."""


class StorageError(SanaWMError, RuntimeError):
    """A file could not be written: no space, no permission, or no such folder."""

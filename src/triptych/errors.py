"""All errors that are raised on purpose, as one tree.

    TriptychError
    ├── ImageError            the bytes are not a photo that can be read
    │   ├── EmptyImage        no bytes
    │   ├── ImageTooLarge     too many bytes
    │   ├── TooManyPixels     few bytes, but a huge image inside
    │   ├── NotAnImage        text, HTML, random bytes
    │   ├── UnsupportedImage  an image in a format that is not read
    │   ├── TruncatedImage    the file ends too early
    │   └── DamagedImage      the right format with invalid content
    ├── SourceError           a file, folder or archive that is missing or cannot be opened
    ├── UnknownName           a committee, member, rule, backbone or project that does not exist
    ├── SettingError          a setting or argument with an impossible value
    ├── WeightsError
    │   ├── WeightsMissing    not on this machine; the message says how to download them
    │   ├── WeightsDamaged    wrong hash, wrong layout, or a pickle with more than tensors
    │   └── FetchError        the download failed
    ├── EngineError           a network could not be compiled or run
    ├── Overloaded            the queue is full; says when to try again
    │   └── Stopping          the server is shutting down
    ├── DeadlinePassed        it took longer than a request may
    ├── BundleError           a bundle that is damaged, of an unknown version, or already exists
    ├── FitError              fitted parameters that are damaged, or photos they cannot be fitted on
    ├── StateError            the studio's data cannot be read or written
    │   └── DiskError         a disk is full, read-only or gone
    ├── Busy                  the same work is already in progress
    ├── Conflict              others have changed meanwhile what a change was based on
    ├── RemoteError           a studio elsewhere cannot be reached, or refused a request
    ├── TooLossy              int8 networks lose more accuracy than allowed
    └── Stopped               a person stopped it; work done so far is kept

Each message says what came, what was expected and how to mend it. ``code`` is stable and meant for
programs; ``status`` is the HTTP status of the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TriptychError(Exception):
    """Base class of all errors that are raised on purpose.

    Example:
        >>> NotAnImage("This is text, not an image.").to_dict()
        {'code': 'not_an_image', 'message': 'This is text, not an image.'}
    """

    code = "error"
    status = 500

    @property
    def message(self) -> str:
        """The message for people."""
        # Not always the same as `str(self)`, which is never a sentence that can be translated.
        first = self.args[0] if self.args else ""
        return first if isinstance(first, str) else str(self)

    def to_dict(self) -> dict[str, str]:
        """The error as JSON, the same at every interface."""
        return {"code": self.code, "message": self.message}


class ImageError(TriptychError):
    """The bytes are not a photo that can be read."""

    code = "image"
    status = 415


class EmptyImage(ImageError):
    """There are no bytes."""

    code = "empty_image"
    status = 400


class ImageTooLarge(ImageError):
    """The file has more bytes than the limit."""

    code = "image_too_large"
    status = 413


class TooManyPixels(ImageError):
    """The image has more pixels than the limit, however small the file is."""

    code = "too_many_pixels"
    status = 413


class NotAnImage(ImageError):
    """The bytes are something else: a web page, a text, noise."""

    code = "not_an_image"


class UnsupportedImage(ImageError):
    """An image in a format that is not read."""

    code = "unsupported_image"


class TruncatedImage(ImageError):
    """The file ends before the image does."""

    code = "truncated_image"
    status = 400


class DamagedImage(ImageError):
    """The format is right and the content is invalid."""

    code = "damaged_image"
    status = 400


class SourceError(TriptychError):
    """A file, folder or archive that is missing or cannot be opened."""

    code = "source"
    status = 400


class UnknownName(TriptychError):
    """A committee, member, rule, backbone, project, class or photo that does not exist."""

    code = "unknown_name"
    status = 404


class SettingError(TriptychError):
    """A setting or argument with an impossible value."""

    code = "setting"
    status = 400


class WeightsError(TriptychError):
    """A file of weights cannot be used."""

    code = "weights"
    status = 503


class WeightsMissing(WeightsError):
    """The weights are not on this machine; the message says how to download them."""

    code = "weights_missing"


class WeightsDamaged(WeightsError):
    """A file of weights has the wrong hash or layout, or contains more than tensors."""

    code = "weights_damaged"


class FetchError(WeightsError):
    """A download failed."""

    code = "fetch"


class EngineError(TriptychError):
    """A network could not be compiled or run."""

    code = "engine"


class Overloaded(TriptychError):
    """The queue is full, so the request was rejected.

    Args:
        message: The message for people.
        retry_after_s: When to try again, in seconds.
    """

    code = "overloaded"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stopping(Overloaded):
    """The server is shutting down, so the request was rejected."""

    code = "stopping"


class DeadlinePassed(TriptychError):
    """An answer took longer than the deadline."""

    code = "deadline"
    status = 504


class BundleError(TriptychError):
    """A bundle that is damaged, of an unknown version, or already exists."""

    code = "bundle"
    status = 409


class FitError(TriptychError):
    """Fitted parameters are damaged, or cannot be fitted on these photos."""

    code = "fit"
    status = 409


class StateError(TriptychError):
    """The studio's data is damaged, of a newer version, or on a disk that is full."""

    code = "state"


class DiskError(StateError):
    """A disk is full, read-only or gone; what was confirmed before is kept."""

    code = "disk"
    status = 507


class Busy(TriptychError):
    """The same work is already in progress."""

    code = "busy"
    status = 409


class Conflict(TriptychError):
    """Others have changed what a change was based on, so nothing was changed.

    Args:
        message: The message for people.
        photos: The photos in question as they are now.
    """

    code = "conflict"
    status = 409

    def __init__(self, message: str, *, photos: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.photos = tuple(photos)


class RemoteError(TriptychError):
    """A studio elsewhere cannot be reached, or refused a request for a reason of its own.

    Args:
        message: The message for people.
        code: The code in its answer, if it gave one.
        status: The HTTP status of its answer, if it gave one.
    """

    code = "remote"

    def __init__(self, message: str, *, code: str = "remote", status: int = 500) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class TooLossy(TriptychError):
    """Networks at int8 lose more accuracy than allowed; they were not kept."""

    code = "too_lossy"
    status = 409


class Stopped(TriptychError):
    """A person stopped the work; what was done so far is kept."""

    code = "stopped"
    status = 409

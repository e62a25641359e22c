"""Everything that can go wrong, as one tree.

    TriptychError
    ├── ImageError            the bytes given are not a photo we can read
    │   ├── EmptyImage
    │   ├── ImageTooLarge     too many bytes
    │   ├── TooManyPixels     few bytes, but a huge picture inside
    │   ├── NotAnImage        text, HTML, random bytes
    │   ├── UnsupportedImage  an image, in a format this installation cannot read
    │   ├── TruncatedImage    the file ends too early
    │   └── DamagedImage      right format, broken inside
    ├── SourceError           a file, folder or archive that cannot be opened
    ├── UnknownName           a committee, member, rule, backbone or project that does not exist
    ├── SettingError          a setting or argument with an impossible value
    ├── WeightsError
    │   ├── WeightsMissing    not in the cache; says how to get them
    │   ├── WeightsDamaged    wrong hash, wrong layout, or a pickle with more than tensors in it
    │   └── FetchError        the network or the mirror did not deliver
    ├── EngineError           the network could not be compiled or run
    ├── Overloaded            too much is waiting already; says when to come again
    │   └── Stopping          the server takes no more, as it is about to stop
    ├── DeadlinePassed        it took longer than a request may
    ├── BundleError           a bundle that is damaged, unknown in form, or in the way
    ├── FitError              what was fitted is damaged, or cannot be fitted on these photos
    ├── StateError            what the studio keeps cannot be read or written
    ├── Busy                  the like of it is under way already
    ├── TooLossy              int8 networks that answer worse than was allowed
    └── Stopped               a person stopped it; what was done so far is kept

Each message says what came, what was expected and how to mend it. ``code`` is stable and meant
for programs; ``status`` is the HTTP status the web edge answers with.
"""


class TriptychError(Exception):
    """Base class of all errors raised on purpose.

    Example:
        >>> NotAnImage("This is text, not an image.").to_dict()
        {'code': 'not_an_image', 'message': 'This is text, not an image.'}
    """

    code = "error"
    status = 500

    @property
    def message(self) -> str:
        """The sentence a person reads."""
        return str(self)

    def to_dict(self) -> dict[str, str]:
        """The one JSON form of an error."""
        return {"code": self.code, "message": self.message}


class ImageError(TriptychError):
    """The bytes given are not a photo that can be read."""

    code = "image"
    status = 415


class EmptyImage(ImageError):
    """No bytes came at all."""

    code = "empty_image"
    status = 400


class ImageTooLarge(ImageError):
    """The file has more bytes than the limit."""

    code = "image_too_large"
    status = 413


class TooManyPixels(ImageError):
    """The picture has more pixels than the limit, however few its bytes."""

    code = "too_many_pixels"
    status = 413


class NotAnImage(ImageError):
    """The bytes are something else: a page, a text, noise."""

    code = "not_an_image"


class UnsupportedImage(ImageError):
    """An image in a format that is not read here."""

    code = "unsupported_image"


class TruncatedImage(ImageError):
    """The file ends before the picture does."""

    code = "truncated_image"
    status = 400


class DamagedImage(ImageError):
    """The format is right and the content is broken."""

    code = "damaged_image"
    status = 400


class SourceError(TriptychError):
    """A file or folder that is missing or cannot be opened."""

    code = "source"
    status = 400


class UnknownName(TriptychError):
    """A committee, member, rule, backbone, project, class or photo that does not exist."""

    code = "unknown_name"
    status = 404


class SettingError(TriptychError):
    """A setting or argument with a value that cannot work."""

    code = "setting"
    status = 400


class WeightsError(TriptychError):
    """Something about a file of weights."""

    code = "weights"
    status = 503


class WeightsMissing(WeightsError):
    """The weights are not on this machine; the message says how to get them."""

    code = "weights_missing"


class WeightsDamaged(WeightsError):
    """Wrong hash, wrong layout, or more than tensors inside."""

    code = "weights_damaged"


class FetchError(WeightsError):
    """The network or the mirror did not deliver."""

    code = "fetch"


class EngineError(TriptychError):
    """A network could not be compiled or run."""

    code = "engine"


class Overloaded(TriptychError):
    """Too much is waiting already, so this was not taken.

    Args:
        message: The sentence a person reads.
        retry_after_s: When it may be worth to come again, in seconds.
    """

    code = "overloaded"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stopping(Overloaded):
    """The server is about to stop, so this was not taken."""

    code = "stopping"


class DeadlinePassed(TriptychError):
    """An answer took longer than a request may take."""

    code = "deadline"
    status = 504


class BundleError(TriptychError):
    """A bundle that is damaged, written in an unknown form, or in the way."""

    code = "bundle"
    status = 409


class FitError(TriptychError):
    """What was fitted for a committee is damaged, or cannot be fitted on these photos."""

    code = "fit"
    status = 409


class StateError(TriptychError):
    """What the studio keeps is damaged, of a newer version, or on a disk that is full."""

    code = "state"


class Busy(TriptychError):
    """The like of it is under way already."""

    code = "busy"
    status = 409


class TooLossy(TriptychError):
    """Networks at int8 that answer worse than was allowed; they were not kept."""

    code = "too_lossy"
    status = 409


class Stopped(TriptychError):
    """A person stopped the work; what was done so far is kept."""

    code = "stopped"
    status = 409

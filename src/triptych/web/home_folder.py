"""The home folder of a running studio, which may vanish with its disk and come back."""

from __future__ import annotations

from pathlib import Path

import flask

from triptych import errors
from triptych.utils.text import text

# Paths that need the home folder; loaded networks answer without it.
BLUEPRINTS = (
    "import_api",
    "inbox_api",
    "project_api",
    "studio",
    "studio_decisions",
    "studio_disk",
    "studio_exports",
    "studio_imports",
    "studio_sorting",
    "studio_int8",
    "studio_publish",
    "studio_review",
)
ENDPOINTS = ("api.bundles", "api.one_bundle")


class HomeFolder:
    """Detects that the content of the home folder is gone, so that it is not created anew.

    Args:
        path: The folder; need not exist.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> (home / "bundles").mkdir()
        >>> folder = HomeFolder(home)
        >>> (home / "bundles").rmdir()
        >>> folder.check()
        Traceback (most recent call last):
        triptych.errors.DiskError: ...
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[str] = set()
        self.check()

    def check(self) -> None:
        """Check that everything is there.

        Raises:
            errors.DiskError: Something that was there is gone.
        """
        for name in ("bundles", "studio"):
            if (self._path / name).is_dir():
                self._known.add(name)
            elif name in self._known:
                raise errors.DiskError(
                    text(
                        "The folder {path!r} is gone: its disk was taken away, or it was moved or "
                        "removed. Mount the disk again, or put the folder back, and the studio "
                        "goes on; what was confirmed before is in it. If it is meant to be gone, "
                        "start the studio again.",
                        path=str(self._path / name),
                    )
                )


def register(app: flask.Flask, path: Path) -> None:
    """Check the home folder before each request that needs it."""
    home = HomeFolder(path)

    @app.before_request
    def check() -> None:
        request = flask.request
        if request.blueprint in BLUEPRINTS or request.endpoint in ENDPOINTS:
            home.check()

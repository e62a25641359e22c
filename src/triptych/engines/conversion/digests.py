"""Digests of converted networks, kept beside them: one that changed on disk is not believed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from triptych.utils import files


def record(network: Path) -> None:
    """Write the digests of a network's files beside it, as ``sha256sum`` does.

    A folder that cannot be written goes without.

    Args:
        network: Its ``.xml`` file; the weights lie in a ``.bin`` beside it.
    """
    lines = [f"{files.digest(path)}  {path.name}\n" for path in _parts(network)]
    with contextlib.suppress(OSError), files.atomic_file(_record_of(network)) as new:
        new.write_text("".join(lines), encoding="utf-8")


def is_recorded(network: Path) -> bool:
    """Whether there are digests; networks of version 0.1.0 have none."""
    return _record_of(network).exists()


def is_unchanged(network: Path) -> bool:
    """Whether a network's files are those that were written, as far as digests were recorded.

    Example:
        >>> import tempfile
        >>> network = Path(tempfile.mkdtemp()) / "network.xml"
        >>> for path in (network, network.with_suffix(".bin")):
        ...     _ = path.write_bytes(b"as converted")
        >>> record(network)
        >>> is_unchanged(network)
        True
        >>> _ = network.with_suffix(".bin").write_bytes(b"as a disk lost it")
        >>> is_unchanged(network)
        False
    """
    if not is_recorded(network):
        return all(path.exists() for path in _parts(network))
    text = _record_of(network).read_text(encoding="utf-8", errors="replace")
    digests = {
        name: digest for digest, _, name in (row.partition("  ") for row in text.split("\n"))
    }
    return all(
        path.exists() and files.digest(path) == digests.get(path.name) for path in _parts(network)
    )


def _parts(network: Path) -> tuple[Path, Path]:
    return network, network.with_suffix(".bin")


def _record_of(network: Path) -> Path:
    return network.with_suffix(".sha256")

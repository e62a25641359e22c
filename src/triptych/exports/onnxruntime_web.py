"""onnxruntime-web, which runs ONNX files in browsers: fetched once from its npm package.

<home>/runtimes/onnxruntime-web-<version>.tgz   as npm packs it; verified by its hash
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from triptych import errors
from triptych.utils import files

VERSION = "1.30.0"
# As package managers write it in their lock files.
INTEGRITY = (
    "sha512-"
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
NAME = f"onnxruntime-web-{VERSION}.tgz"
SCRIPT = "package/dist/ort.wasm.bundle.min.mjs"
WASM = "package/dist/ort-wasm-simd-threaded.wasm"
FETCH_S = 300


def read(home: Path) -> tuple[bytes, bytes]:
    """The script and the WebAssembly of onnxruntime-web.

    Args:
        home: Home folder, where the package is kept.

    Raises:
        errors.SettingError: It is not there, and cannot be fetched; the message says how else.
        errors.SourceError: The package is not the one that is expected.
    """
    package = home / "runtimes" / NAME
    if not package.exists():
        _fetch(package)
    check(package)
    with tarfile.open(package) as archive:
        parts = [archive.extractfile(name) for name in (SCRIPT, WASM)]
        script, wasm = [part.read() for part in parts if part]
    return script, wasm


def keep(package: Path, home: Path) -> None:
    """Keep a package that was downloaded elsewhere, such as by ``npm pack``.

    Args:
        package: Its ``.tgz`` file.
        home: Home folder.

    Raises:
        errors.SourceError: It cannot be read, or is another one.
    """
    check(package)
    target = home / "runtimes" / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(target) as new:
        shutil.copyfile(package, new)


def check(package: Path) -> None:
    """Refuse a package other than the one that this version was tested with.

    Raises:
        errors.SourceError: It cannot be read, or its hash differs.
    """
    try:
        digest = hashlib.sha512(package.read_bytes()).digest()
    except OSError as error:
        raise errors.SourceError(f"{package} cannot be read: {error.strerror}.") from error
    integrity = f"sha512-{base64.b64encode(digest).decode()}"
    if integrity != INTEGRITY:
        raise errors.SourceError(
            f"{package} is not onnxruntime-web {VERSION}: its hash is {integrity}, expected "
            f"{INTEGRITY}. Fetch it with: npm pack onnxruntime-web@{VERSION}"
        )


def _fetch(package: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise _missing(package, "npm is not installed")
    package.parent.mkdir(parents=True, exist_ok=True)
    with files.scratch_dir(package.parent) as scratch:
        try:
            ran = subprocess.run(
                [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent"],
                cwd=scratch,
                capture_output=True,
                text=True,
                timeout=FETCH_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _missing(package, f"npm fetched nothing within {FETCH_S} s") from None
        packed = scratch / NAME
        if not packed.exists():
            lines = (ran.stderr or ran.stdout).strip().splitlines()
            raise _missing(package, f"npm cannot fetch it: {lines[0] if lines else 'no reason'}")
        check(packed)
        packed.replace(package)


def _missing(package: Path, reason: str) -> errors.SettingError:
    return errors.SettingError(
        f"The page needs onnxruntime-web {VERSION}, and {reason}. Fetch it on another machine with "
        f"`npm pack onnxruntime-web@{VERSION}`, and name the file: --onnxruntime-web {package.name}"
    )

"""Run the Dockerfile's steps without Docker, and the resulting server as in a container.

    sudo python3 tools/try_container.py

Needs Linux, root and util-linux. In a separate mount namespace, the steps of the build run in an
empty folder, which is then packed and unpacked like a layer of an image (with times in whole
seconds). The studio runs as another user, with an empty environment, no network, and write access
only to a volume and /tmp. It is started twice, classifies a photo, and is stopped. Prints sizes,
times and memory; exits with 1 if a step fails.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("container", "requirements", "src", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
PYTHON, TARGET, VOLUME = Path("/mnt/python"), Path("/mnt/triptych"), Path("/mnt/volume")
USER = "10001"
KEY = "a-key-for-trying"
PORT = 5000
DRAW = (
    "import sys; from triptych.benchmark import synthetic; "
    "sys.stdout.buffer.write(synthetic.jpeg((400, 500)))"
)


def main() -> None:
    """Run everything in a mount namespace."""
    stages = {"build": build, "run": run}
    if len(sys.argv) == 3:
        stages[sys.argv[1]](Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="triptych-") as scratch:
        sys.exit(run_stage("--mount", "build", Path(scratch)))


def run_stage(namespace: str, stage: str, scratch: Path) -> int:
    """Run a stage of this script in a new namespace."""
    return subprocess.call(["unshare", namespace, sys.executable, __file__, stage, scratch])


def build(scratch: Path) -> None:
    """Run the Dockerfile's first stage, and copy its layer."""
    source = scratch / "source"
    source.mkdir()
    do("cp", "-R", *(ROOT / name for name in COPIED), source)
    do("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    mount(Path(sys.base_prefix), PYTHON)
    mount(scratch / "target", TARGET)
    mount(scratch / "volume", VOLUME)
    for step in ("dependencies", "studio", "networks"):
        start = time.monotonic()
        path = f"{PYTHON}/bin:{os.environ['PATH']}"
        do("container/steps", step, TARGET, cwd=source, env={**os.environ, "PATH": path})
        print(f"{step}: {time.monotonic() - start:.0f} s", flush=True)
    as_layer(scratch / "layer.tar")
    print_sizes()
    os.chown(VOLUME, int(USER), int(USER))
    for folder in (TARGET, PYTHON, Path("/mnt"), Path("/")):
        do("mount", "-o", "remount,bind,ro", folder)
    sys.exit(run_stage("--net", "run", scratch))


def as_layer(file: Path) -> None:
    """Pack and unpack the layer, as an image does."""
    do("tar", "--format=ustar", "-C", TARGET, "-cf", file, ".")
    for path in TARGET.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    do("tar", "-C", TARGET, "-xf", file)
    file.unlink()


def print_sizes() -> None:
    """Print the size of the image, and of its largest parts."""
    packages = next(TARGET.glob("lib/python*/site-packages"))
    sizes = {path.name: size_mb(path) for path in packages.iterdir()}
    sizes["the networks"] = size_mb(TARGET / "home")
    print(f"installed: {size_mb(TARGET):.0f} MB")
    for name, mb in sorted(sizes.items(), key=lambda pair: -pair[1])[:9]:
        print(f"  {name}: {mb:.0f} MB")


def size_mb(path: Path) -> float:
    """The size of a file or a folder on disk."""
    output = subprocess.run(["du", "-sB1", path], capture_output=True, text=True, check=True).stdout
    return int(output.split()[0]) / 1e6


def run(scratch: Path) -> None:
    """Start, query and stop the server, with an empty volume and with a used one."""
    do("mount", "-t", "tmpfs", "tmpfs", "/tmp")
    do("ip", "link", "set", "lo", "up")
    photo = subprocess.run(
        [TARGET / "bin/python", "-c", DRAW], capture_output=True, check=True
    ).stdout
    for volume in ("empty volume", "used volume"):
        serve(volume, photo)
    written = sorted(VOLUME.rglob("*"))
    print("written: " + ", ".join(str(path.relative_to(VOLUME)) for path in written))
    if any(path.name == "network.xml" for path in written):
        sys.exit("Networks were converted again, although the image contains them.")


def serve(volume: str, photo: bytes) -> None:
    """Start the server, classify a photo, stop the server."""
    start = time.monotonic()
    studio = subprocess.Popen(as_user(TARGET / "start", "serve"))
    while subprocess.call(as_user(TARGET / "bin/python", TARGET / "healthy.py")):
        if studio.poll() is not None or time.monotonic() - start > 60:
            sys.exit("The studio did not start.")
        time.sleep(0.1)
    healthy_s = time.monotonic() - start
    label = classify(photo)
    answered_s = time.monotonic() - start
    memory = Path(f"/proc/{studio.pid}/status").read_text().split("VmRSS:")[1].split()[0]
    studio.terminate()
    stop = time.monotonic()
    code = studio.wait(timeout=30)
    print(
        f"{volume}: healthy after {healthy_s:.1f} s, first answer ({label}) after "
        f"{answered_s:.1f} s, {int(memory) / 1000:.0f} MB of memory, "
        f"stopped with {code} after {time.monotonic() - stop:.1f} s",
        flush=True,
    )
    if code:
        sys.exit("The studio did not exit cleanly.")


def classify(photo: bytes) -> str:
    """The label of a photo."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    headers = {"Content-Type": "image/jpeg", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", "/api/v1/classify", photo, headers)
    answer = json.load(connection.getresponse())
    return str(answer["results"][0]["verdict"]["label"])


def as_user(*command: str | Path) -> list[str | Path]:
    """A command, run as the container's user."""
    setpriv = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
    environment = {
        "LD_LIBRARY_PATH": f"{PYTHON}/lib",  # it was built for another path
        "PATH": f"{TARGET}/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRIPTYCH_HOME": str(VOLUME),
        "TRIPTYCH_HOST": "0.0.0.0",
        "TRIPTYCH_API_KEY": KEY,
        "KERAS_HOME": f"{VOLUME}/keras",
    }
    return [*setpriv, "env", "-i", *(f"{k}={v}" for k, v in environment.items()), *command]


def mount(source: Path, target: Path) -> None:
    """Bind-mount a folder."""
    source.mkdir(exist_ok=True)
    target.mkdir()
    do("mount", "--bind", source, target)


def do(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command, and raise an error if it fails."""
    subprocess.run(command, cwd=cwd, env=env, check=True)


if __name__ == "__main__":
    main()

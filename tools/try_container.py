"""Run the Dockerfile's steps without Docker, and the resulting server as in a container.

    sudo python3 tools/try_container.py

Needs Linux, root and util-linux. With mounts of its own: the steps of the build run in a bare
folder, which is then packed and unpacked as a layer of an image is (whole seconds). The studio runs
as another user, with an empty environment, no network, and nothing to write to but a volume and
/tmp. It is started twice, asked about a photo, and stopped. Prints sizes, times and memory; ends
with 1 when something is not as it should be.
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
        sys.exit(again("--mount", "build", Path(scratch)))


def again(apart: str, stage: str, scratch: Path) -> int:
    """Run this script's next stage in one more namespace."""
    return subprocess.call(["unshare", apart, sys.executable, __file__, stage, scratch])


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
    tell_sizes()
    os.chown(VOLUME, int(USER), int(USER))
    for place in (TARGET, PYTHON, Path("/mnt"), Path("/")):
        do("mount", "-o", "remount,bind,ro", place)
    sys.exit(again("--net", "run", scratch))


def as_layer(file: Path) -> None:
    """Pack and unpack the layer, as an image does."""
    do("tar", "--format=ustar", "-C", TARGET, "-cf", file, ".")
    for path in TARGET.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    do("tar", "-C", TARGET, "-xf", file)
    file.unlink()


def tell_sizes() -> None:
    """Print the size of the image, and of its largest parts."""
    packages = next(TARGET.glob("lib/python*/site-packages"))
    sizes = {path.name: size_mb(path) for path in packages.iterdir()}
    sizes["the networks"] = size_mb(TARGET / "home")
    print(f"installed: {size_mb(TARGET):.0f} MB")
    for name, mb in sorted(sizes.items(), key=lambda pair: -pair[1])[:9]:
        print(f"  {name}: {mb:.0f} MB")


def size_mb(path: Path) -> float:
    """The size of a file or a folder on disk."""
    said = subprocess.run(["du", "-sB1", path], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0]) / 1e6


def run(scratch: Path) -> None:
    """Start, query and stop the server, with an empty volume and with a used one."""
    do("mount", "-t", "tmpfs", "tmpfs", "/tmp")
    do("ip", "link", "set", "lo", "up")
    photo = subprocess.run(
        [TARGET / "bin/python", "-c", DRAW], capture_output=True, check=True
    ).stdout
    for volume in ("empty volume", "used volume"):
        once(volume, photo)
    written = sorted(VOLUME.rglob("*"))
    print("written: " + ", ".join(str(path.relative_to(VOLUME)) for path in written))
    if any(path.name == "network.xml" for path in written):
        sys.exit("Networks were converted anew; those of the image were to be taken.")


def once(volume: str, photo: bytes) -> None:
    """Run the server once."""
    start = time.monotonic()
    studio = subprocess.Popen(as_user(TARGET / "start", "serve"))
    while subprocess.call(as_user(TARGET / "bin/python", TARGET / "healthy.py")):
        if studio.poll() is not None or time.monotonic() - start > 60:
            sys.exit("The studio did not start.")
        time.sleep(0.1)
    healthy_s = time.monotonic() - start
    verdict = ask(photo)
    answered_s = time.monotonic() - start
    memory = Path(f"/proc/{studio.pid}/status").read_text().split("VmRSS:")[1].split()[0]
    studio.terminate()
    stop = time.monotonic()
    code = studio.wait(timeout=30)
    print(
        f"{volume}: healthy after {healthy_s:.1f} s, first answer ({verdict}) after "
        f"{answered_s:.1f} s, {int(memory) / 1000:.0f} MB of memory, "
        f"stopped with {code} after {time.monotonic() - stop:.1f} s",
        flush=True,
    )
    if code:
        sys.exit("The studio did not stop as asked.")


def ask(photo: bytes) -> str:
    """Classify a photo."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    headers = {"Content-Type": "image/jpeg", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", "/api/v1/classify", photo, headers)
    answer = json.load(connection.getresponse())
    return str(answer["results"][0]["verdict"]["label"])


def as_user(*command: str | Path) -> list[str | Path]:
    """A command, run as the container's user."""
    who = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
    environment = {
        "LD_LIBRARY_PATH": f"{PYTHON}/lib",  # it was built for another place
        "PATH": f"{TARGET}/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRIPTYCH_HOME": str(VOLUME),
        "TRIPTYCH_HOST": "0.0.0.0",
        "TRIPTYCH_API_KEY": KEY,
        "KERAS_HOME": f"{VOLUME}/keras",
    }
    return [*who, "env", "-i", *(f"{k}={v}" for k, v in environment.items()), *command]


def mount(source: Path, place: Path) -> None:
    """Bind-mount a folder."""
    source.mkdir(exist_ok=True)
    place.mkdir()
    do("mount", "--bind", source, place)


def do(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command, and fail if it does."""
    subprocess.run(command, cwd=cwd, env=env, check=True)


if __name__ == "__main__":
    main()

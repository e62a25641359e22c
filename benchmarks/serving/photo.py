"""One photo in two sizes: what twelve megapixels cost."""

from __future__ import annotations

from serving import bench
from serving import measuring
from serving import servers
from serving import uploads
from serving.bench import Bench

MOST = 2.5


def run(of: Bench) -> None:
    """Measure both with one client, the default committee and number format."""
    sizes = uploads.two_sizes(of.photos[0], of.scratch)
    server = servers.triptych("lite", "auto", of.home)
    with servers.running(server, of.photos[0]) as up:
        took = {
            name: measuring.closed(
                up.port, [upload], paths=server.paths, seconds=of.seconds, clients=1
            ).median_ms
            for name, upload in sizes.items()
        }
    ratio = took["12 MP"] / took["0.2 MP"]
    files = {name: upload.file.stat().st_size / 1e6 for name, upload in sizes.items()}
    rows = [[name, f"{files[name]:.2f}", f"{ms:.1f}"] for name, ms in took.items()]
    bench.table(["lite, one client", "MB", "median ms"], [*rows, ["ratio", "", f"{ratio:.2f}"]])
    of.figures["photo"] = {"median_ms": took, "file_mb": files, "ratio": round(ratio, 2)}
    of.claims[f"12 megapixels take at most {MOST} times as long as 0.2"] = ratio <= MOST

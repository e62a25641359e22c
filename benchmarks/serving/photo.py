"""One photo in two sizes: the cost of twelve megapixels."""

from __future__ import annotations

from serving import bench
from serving import measuring
from serving import servers
from serving import uploads
from serving.bench import Bench

MAX_RATIO = 1.8


def run(bench_run: Bench) -> None:
    """Measure both with one client, the default committee and number format."""
    sizes = uploads.two_sizes(bench_run.photos[0], bench_run.scratch)
    server = servers.triptych("lite", "auto", bench_run.home)
    with servers.running(server, bench_run.photos[0]) as up:
        measuring.warm_up(up, bench_run.photos, server.paths)
        took = {
            name: measuring.closed(
                up, [upload], paths=server.paths, seconds=bench_run.seconds, clients=1
            ).median_ms
            for name, upload in sizes.items()
        }
    ratio = took["12 MP"] / took["0.2 MP"]
    files = {name: upload.file.stat().st_size / 1e6 for name, upload in sizes.items()}
    rows = [[name, f"{files[name]:.2f}", f"{ms:.1f}"] for name, ms in took.items()]
    bench.table(["lite, one client", "MB", "median ms"], [*rows, ["ratio", "", f"{ratio:.2f}"]])
    bench_run.figures["photo"] = {"median_ms": took, "file_mb": files, "ratio": round(ratio, 2)}
    claim = f"12 megapixels take at most {MAX_RATIO} times as long as 0.2 ({ratio:.2f})"
    bench_run.claims[claim] = ratio <= MAX_RATIO

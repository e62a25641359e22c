"""The parts of `bench_serve.py`: the servers, the load, the bare loop, and what is measured."""

"""The parts of ``bench_scale.py``: the gain from replicas, and the overhead of Ray."""

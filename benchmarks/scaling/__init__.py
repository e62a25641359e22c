"""The parts of ``bench_scale.py``: what Ray gives, and what it costs."""

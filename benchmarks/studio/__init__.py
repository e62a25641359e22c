"""Parts of ``bench_studio.py``: pages of a large project, the sample, and a killed server."""

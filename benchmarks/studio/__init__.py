"""Parts of bench_studio: the pages of a large project, the sample, and the server killed."""

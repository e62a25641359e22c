"""Files at a path or URL: listed as a stream, read, written whole or not at all."""

"""Making networks that engines run: converted, quantized, and kept on disk."""

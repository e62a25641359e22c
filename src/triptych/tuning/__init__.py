"""Fitting, selecting and quantizing a committee on a person's own labelled photos."""

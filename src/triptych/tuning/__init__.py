"""Fitting, selecting and quantizing committees with labelled photos."""

"""The training flow: from labelled photos to a bundle."""

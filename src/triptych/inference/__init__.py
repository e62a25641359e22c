"""The serving flow: a committee classifies images, and explains its answers."""

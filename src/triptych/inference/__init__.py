"""The serving flow: a committee answers for images, and explains its answers."""

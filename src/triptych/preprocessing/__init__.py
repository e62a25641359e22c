"""From an RGB picture to the numbers that a network was trained on."""

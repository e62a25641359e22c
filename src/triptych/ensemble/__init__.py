"""Joining the members' probabilities: pure array functions, and the parameters fitted for them."""

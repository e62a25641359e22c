"""Many machines: the same committee, asked through Ray."""

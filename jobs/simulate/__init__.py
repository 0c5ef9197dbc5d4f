"""A synthetic retail world with known truth, written as raw files like real sources."""

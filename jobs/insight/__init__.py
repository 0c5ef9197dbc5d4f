"""Gold facts and dimensions."""

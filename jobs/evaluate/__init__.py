"""What was promised against what is true; the only room that may read the world's truth."""

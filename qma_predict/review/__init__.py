"""What became of it: published lists against what became known."""

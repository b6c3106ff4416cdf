"""Who is told of a list, and that there is none."""

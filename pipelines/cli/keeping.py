"""Commands that keep the program running: health, status, copies, what is old."""

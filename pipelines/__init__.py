"""The flows that run on schedule, and the `qma` command that runs the same by hand."""

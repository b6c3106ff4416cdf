"""A list as it is kept: bundle, revisions, manifest, and the rows in the desk database."""

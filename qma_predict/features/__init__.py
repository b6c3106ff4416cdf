"""What was known at the cutoff: prediction points, families of features, the feature table."""

"""What leaves the lab: registry, scoring, the risk list and its renderings, publication."""

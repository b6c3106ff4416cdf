"""What the plant recorded: contract, sources, lake and the simulated plant."""

"""What can be predicted: labels, splits in time order, the ladder of baselines, recipes and backtests."""

"""What is kept of a trained model: registry, model card, and what explains its lists."""

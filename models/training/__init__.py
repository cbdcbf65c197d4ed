"""Training of the zoo's models: data, augmentation, losses, the loop, and a recipe for each checkpoint."""

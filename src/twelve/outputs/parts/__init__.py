"""What the outputs are made of: modules, losses, and the ways their predictions are shown."""

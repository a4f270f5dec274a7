"""Small synthetic images with all twelve datasets, to train and evaluate without downloads."""

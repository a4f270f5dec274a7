"""What a run does from its folder: training, evaluating, converting, model cards."""

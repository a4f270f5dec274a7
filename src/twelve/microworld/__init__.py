"""A small drawn world in which all twelve datasets can be made, trained on and measured without a download."""

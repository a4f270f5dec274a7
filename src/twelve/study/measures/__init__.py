"""Measures that a study computes from what its runs left: errors by kind, groupings, similarity of trunks."""

"""Official layouts that several tasks share, and the reading of result files."""

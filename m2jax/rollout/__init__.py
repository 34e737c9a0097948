"""From cases to graded replies."""

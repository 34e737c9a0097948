"""Training: the state, the optimiser, the GRPO objective and the one jitted step, and the loop around them."""

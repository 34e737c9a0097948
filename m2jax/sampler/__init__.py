"""Generation and scoring: sampling from logits, the jitted programs, and the engine that feeds them."""

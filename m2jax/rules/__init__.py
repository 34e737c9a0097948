"""Rewards by rules: verifiers of stage 1 (Baichuan-M2, arXiv 2509.02208). They need no model and no JAX."""

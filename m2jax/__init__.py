"""m2jax: medical reinforcement learning as one JAX program.

The policy, the patient simulator and the rubric verifier are served by one sampler on the mesh that trains
the policy (after Baichuan-M2, https://arxiv.org/abs/2509.02208). Importing the package imports nothing else,
so that a launcher can still set XLA's flags and the platform; the parts are imported by name, for example
`from m2jax.models import decoder`.
"""

__version__ = "0.1.0"

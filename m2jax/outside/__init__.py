"""Models outside this program: OpenAI-compatible endpoints that may stand in for any role.

`endpoint` says where one is and what may be asked of it; `client` asks, in threads, with retries; `answers` keeps on
disk what has been paid for. No JAX: the sampler (`sampler.outside`) joins it to the dialogues and the other processes.
"""

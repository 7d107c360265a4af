"""snncc's CUDA models: what they are made of without a GPU, what they reach on one."""

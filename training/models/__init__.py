"""Networks: the encoder, its fusion, the content sketch; checkpoints."""

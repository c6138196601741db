"""A whole run in one run of TensorBoard or Weights & Biases."""

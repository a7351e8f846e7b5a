"""What training compares: differentiable losses, batches of images in, a scalar out."""

"""Tensors in, tensors out: methods, networks, detectors, quality measures, degradations. No storage and no Ray."""

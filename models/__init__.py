"""Tensors in, tensors out: methods, networks, detectors, quality measures, degradations. Knows no storage and no Ray."""

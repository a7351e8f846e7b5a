"""Networks, each after its paper, with the published tensor names."""

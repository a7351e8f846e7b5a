"""Samplers: from a network and a start to a result, one page each."""

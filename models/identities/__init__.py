"""Every file here that defines ``IDENTITY`` is a network that tells persons apart (``models.identity``)."""

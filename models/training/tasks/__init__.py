"""The trainings: one file each defines ``TRAINING`` (see ``models.training.task``)."""

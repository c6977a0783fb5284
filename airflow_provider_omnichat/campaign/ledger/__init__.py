"""Who was claimed and how it ended, kept outside the process."""

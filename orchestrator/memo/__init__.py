"""Earlier answers, kept to be given again: in this process, or in a Redis that several share."""

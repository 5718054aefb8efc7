"""What happens around an answer, each thing a wrapper of the one seam: ``ask``, then ``chain``."""

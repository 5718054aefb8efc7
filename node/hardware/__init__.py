"""What the box is: GPUs, host, and the limits that its owner gave them."""

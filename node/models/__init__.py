"""What is loaded and why: hosted models, their files, what they need, how fast they are."""

"""`mesh chat`: a conversation in the terminal."""

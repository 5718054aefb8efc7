"""What this process takes in from strangers, and the files that it has to do so."""

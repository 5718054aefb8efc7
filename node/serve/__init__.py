"""What a node answers: attempts, clients with a ticket, and what it hands on to its peers."""

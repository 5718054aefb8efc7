"""Rules as operations: checking a rules file, the decision log, and mining new rules from it."""
